//! The less is left of the tenant's day or the agent's month, the shorter the life
//! and the fewer the requests a minute.
//!
//! | setting | what | otherwise |
//! | --- | --- | --- |
//! | `from` | from how much on, in percent left | `50` |
//! | `least_seconds` | no life is shorter | `60` |
//! | `least_per_minute` | no limit is lower | `10` |
//!
//! With half of `from` left, life and requests are half of the ceiling. Tokens that
//! stepped down say so in the claim `left`, in percent: name it at the upload.

use agentidp_policy::{Decision, Policy, Request, allow_all};

struct StepDown;

impl Policy for StepDown {
    fn decide(request: &Request) -> Decision {
        let from = request.number("from", 50)?;
        let least_seconds = request.number("least_seconds", 60)?;
        let least_per_minute = request.number("least_per_minute", 10)?;
        let left = percent_left(request);
        let grant = allow_all(request);
        if left >= from {
            return Ok(grant);
        }
        let share = |of: u32| u32::try_from(u64::from(of) * left / from).unwrap_or(of);
        let grant = grant
            .for_at_most(share(request.ceiling.lifetime_seconds).max(least_seconds))
            .claim("left", left.to_string());
        Ok(match request.ceiling.requests_per_minute {
            Some(most) => grant.at_most_per_minute(share(most).max(least_per_minute)),
            None => grant,
        })
    }
}

agentidp_policy::export!(StepDown);

/// Of the day or of the month, whichever is nearer to its end.
fn percent_left(request: &Request) -> u64 {
    let used = request
        .usage
        .percent_of_day()
        .max(request.usage.percent_of_month());
    100_u64.saturating_sub(used.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use agentidp_policy::Usage;

    use super::*;

    /// Life and requests with so much left of the day and of the month, in percent.
    fn with_left(day: u64, month: u64) -> (Option<u32>, Option<u32>) {
        let grant = StepDown::decide(&asked(day, month)).unwrap();
        (grant.lifetime_seconds, grant.requests_per_minute)
    }

    fn asked(day: u64, month: u64) -> Request {
        Request {
            usage: Usage {
                tokens_today: 100 - day,
                tokens_per_day: Some(100),
                tokens_this_month: 100 - month,
                tokens_per_month: Some(100),
            },
            ..Request::example()
        }
    }

    #[test]
    fn the_first_half_is_as_ever() {
        assert_eq!(with_left(50, 90), (None, None));
    }

    #[test]
    fn then_it_goes_down_with_what_is_left_of_either() {
        assert_eq!(with_left(25, 90), (Some(1_800), Some(500)));
        assert_eq!(with_left(90, 5), (Some(360), Some(100)));
    }

    #[test]
    fn it_does_not_go_below_what_the_settings_say() {
        assert_eq!(with_left(0, 0), (Some(60), Some(10)));
        let asked = asked(1, 1)
            .with_setting("least_seconds", "120")
            .with_setting("least_per_minute", "50");
        let grant = StepDown::decide(&asked).unwrap();
        assert_eq!(grant.lifetime_seconds, Some(120));
        assert_eq!(grant.requests_per_minute, Some(50));
    }

    #[test]
    fn a_token_that_stepped_down_says_so() {
        let grant = StepDown::decide(&asked(25, 90)).unwrap();
        assert_eq!(grant.claims, [("left".into(), "25".into())]);
        assert!(StepDown::decide(&asked(90, 90)).unwrap().claims.is_empty());
    }

    #[test]
    fn without_a_limit_nothing_runs_out() {
        let mut asked = asked(1, 1);
        (asked.usage.tokens_per_day, asked.usage.tokens_per_month) = (None, None);
        assert_eq!(StepDown::decide(&asked), Ok(allow_all(&asked)));
    }

    #[test]
    fn nothing_steps_down_from_zero() {
        let asked = asked(0, 0).with_setting("from", "0");
        assert_eq!(StepDown::decide(&asked), Ok(allow_all(&asked)));
    }
}
