//! What is left of the day and of the month.

use crate::{Request, Usage};

/// Of what has been used the token that is asked for is a part.
impl Request {
    /// How many tokens the tenant has left today after this one; none where there is
    /// no limit.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let mut asked = Request::example();
    /// (asked.usage.tokens_today, asked.usage.tokens_per_day) = (990, Some(1_000));
    /// assert_eq!(asked.tokens_left_today(), Some(10));
    /// ```
    pub fn tokens_left_today(&self) -> Option<u64> {
        left(self.usage.tokens_today, self.usage.tokens_per_day)
    }

    /// How many tokens the agent has left this month after this one; none where there
    /// is no limit.
    pub fn tokens_left_this_month(&self) -> Option<u64> {
        left(self.usage.tokens_this_month, self.usage.tokens_per_month)
    }
}

impl Usage {
    /// How much of the tenant's day is used, in percent, rounded up; none where there
    /// is no limit.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let mut usage = Request::example().usage;
    /// (usage.tokens_today, usage.tokens_per_day) = (801, Some(1_000));
    /// assert_eq!(usage.percent_of_day(), Some(81));
    /// ```
    pub fn percent_of_day(&self) -> Option<u64> {
        percent(self.tokens_today, self.tokens_per_day)
    }

    /// How much of the agent's month is used, in percent, rounded up; none where
    /// there is no limit.
    pub fn percent_of_month(&self) -> Option<u64> {
        percent(self.tokens_this_month, self.tokens_per_month)
    }
}

fn left(used: u64, limit: Option<u64>) -> Option<u64> {
    limit.map(|limit| limit.saturating_sub(used))
}

/// Of a limit of 0 all is used.
fn percent(used: u64, limit: Option<u64>) -> Option<u64> {
    limit.map(|limit| match limit {
        0 => 100,
        limit => used.saturating_mul(100).div_ceil(limit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_is_overdrawn_and_no_limit_has_no_share() {
        assert_eq!(left(11, Some(10)), Some(0));
        assert_eq!(percent(11, Some(10)), Some(110));
        assert_eq!(percent(0, Some(0)), Some(100));
        assert_eq!(percent(u64::MAX, Some(u64::MAX)), Some(1), "saturated");
        assert_eq!((left(1, None), percent(1, None)), (None, None));
    }
}
