//! Requests for tests. A module that does not call this does not contain it.

use crate::{Ceiling, Request, Usage};

impl Request {
    /// For tests: an agent in production asks for `files:read` and `files:write` at
    /// ten o'clock (UTC) on a Monday. Its tenant has the tier `pro` and has used
    /// little. A test changes what it is about:
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request { deployment_env: "staging".into(), ..Request::example() };
    /// assert_eq!(asked.scopes, ["files:read", "files:write"]);
    /// ```
    pub fn example() -> Self {
        Self {
            agent_id: "0190a000-0000-7000-8000-00000000000a".into(),
            agent_type: "custom".into(),
            deployment_env: "production".into(),
            capabilities: Vec::new(),
            org_id: "0190a000-0000-7000-8000-00000000000b".into(),
            tier: "pro".into(),
            audience: "https://files.example".into(),
            scopes: vec!["files:read".into(), "files:write".into()],
            // 2026-01-05T10:00:00Z
            now: 1_767_607_200,
            ceiling: Ceiling {
                lifetime_seconds: 3_600,
                requests_per_minute: Some(1_000),
            },
            usage: Usage {
                tokens_today: 1,
                tokens_per_day: Some(25_000),
                tokens_this_month: 1,
                tokens_per_month: Some(500_000),
            },
            settings: Vec::new(),
        }
    }

    /// For tests: the same with this setting.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request::example().with_setting("open", "9").with_setting("open", "10");
    /// assert_eq!(asked.setting("open"), Some("10"));
    /// ```
    pub fn with_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(name, _)| name != key);
        self.settings.push((key.into(), value.into()));
        self
    }

    /// For tests: the same of an agent with these capabilities.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// assert!(Request::example().with_capabilities(["writer"]).has_capability("writer"));
    /// ```
    pub fn with_capabilities<const N: usize>(mut self, capabilities: [&str; N]) -> Self {
        self.capabilities = capabilities.map(Into::into).into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weekday;

    #[test]
    fn the_example_is_at_ten_on_a_monday() {
        let example = Request::example();
        assert_eq!(
            (example.weekday(), example.minute_of_day()),
            (Weekday::Monday, 600)
        );
    }
}
