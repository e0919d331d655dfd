//! No more tokens once a share of the day or of the month is used, so that the rest
//! is there for those who must have it.
//!
//! | setting | what | otherwise |
//! | --- | --- | --- |
//! | `day` | how much of the tenant's day may be used, in percent | `80` |
//! | `month` | how much of the agent's month may be used, in percent | `90` |
//! | `exempt` | agents with one of these capabilities go on | nobody |
//!
//! Where the tier has no limit there is no share of it.

use agentidp_policy::{Decision, Policy, Request, allow_all, deny};

struct BudgetByUsage;

impl Policy for BudgetByUsage {
    fn decide(request: &Request) -> Decision {
        let day = request.number("day", 80)?;
        let month = request.number("month", 90)?;
        let mut exempt = request.words("exempt", "");
        if exempt.any(|capability| request.has_capability(capability)) {
            return Ok(allow_all(request));
        }
        if request.usage.percent_of_day() > Some(day) {
            return deny("The tenant's budget for today is used. The day ends at midnight UTC.");
        }
        if request.usage.percent_of_month() > Some(month) {
            return deny("The agent's budget for this month is used.");
        }
        Ok(allow_all(request))
    }
}

agentidp_policy::export!(BudgetByUsage);

#[cfg(test)]
mod tests {
    use agentidp_policy::Usage;

    use super::*;

    fn after(today: u64, this_month: u64) -> Request {
        Request {
            usage: Usage {
                tokens_today: today,
                tokens_per_day: Some(100),
                tokens_this_month: this_month,
                tokens_per_month: Some(1_000),
            },
            ..Request::example()
        }
    }

    #[test]
    fn a_share_may_be_used_and_not_more() {
        assert!(BudgetByUsage::decide(&after(80, 900)).is_ok());
        let day = BudgetByUsage::decide(&after(81, 1)).unwrap_err();
        assert!(day.reason().contains("today"));
        let month = BudgetByUsage::decide(&after(1, 901)).unwrap_err();
        assert!(month.reason().contains("month"));
    }

    #[test]
    fn the_settings_say_how_much() {
        let asked = |today| after(today, 1).with_setting("day", "50");
        assert!(BudgetByUsage::decide(&asked(50)).is_ok());
        assert!(BudgetByUsage::decide(&asked(51)).is_err());
        let bad = after(1, 1).with_setting("month", "half");
        assert!(BudgetByUsage::decide(&bad).is_err());
    }

    #[test]
    fn the_exempt_go_on() {
        let asked = after(99, 999).with_setting("exempt", "on-call");
        assert!(BudgetByUsage::decide(&asked).is_err());
        assert!(BudgetByUsage::decide(&asked.with_capabilities(["on-call"])).is_ok());
    }

    #[test]
    fn without_a_limit_there_is_no_budget() {
        let mut asked = after(1_000_000, 1_000_000);
        (asked.usage.tokens_per_day, asked.usage.tokens_per_month) = (None, None);
        assert!(BudgetByUsage::decide(&asked).is_ok());
    }
}
