//! What a request is asked by a policy.

use std::str::FromStr;

use crate::{Denial, Request};

impl Request {
    /// What the upload says of `key`.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request::example().with_setting("team", "billing");
    /// assert_eq!(asked.setting("team"), Some("billing"));
    /// assert_eq!(asked.setting("Team"), None);
    /// ```
    pub fn setting(&self, key: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The number that the upload says of `key`, or `otherwise` where it says nothing.
    ///
    /// # Errors
    /// A denial where it is none: hand it on with `?`.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request::example().with_setting("open", "8").with_setting("close", "late");
    /// assert_eq!(asked.number("open", 9), Ok(8));
    /// assert_eq!(asked.number("pause", 12), Ok(12));
    /// let denial = asked.number("close", 17_u32).unwrap_err();
    /// assert_eq!(denial.reason(), "The policy's setting `close` is not a number that it can take.");
    /// ```
    pub fn number<N: FromStr>(&self, key: &str, otherwise: N) -> Result<N, Denial> {
        let Some(text) = self.setting(key) else {
            return Ok(otherwise);
        };
        text.trim()
            .parse()
            .map_err(|_| bad(key, "is not a number that it can take"))
    }

    /// The words that the upload says of `key`, or those in `otherwise` where it says
    /// nothing. Between words are commas or spaces.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request::example().with_setting("days", "sat, sun");
    /// assert_eq!(asked.words("days", "mon tue").collect::<Vec<_>>(), ["sat", "sun"]);
    /// assert_eq!(asked.words("more", "mon tue").collect::<Vec<_>>(), ["mon", "tue"]);
    /// ```
    pub fn words<'a>(&'a self, key: &str, otherwise: &'a str) -> impl Iterator<Item = &'a str> {
        let text = self.setting(key).unwrap_or(otherwise);
        text.split([',', ' ']).filter(|word| !word.is_empty())
    }

    /// A denial that says of the setting `key` what is wrong with it.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let denial = Request::bad_setting("days", "names no day");
    /// assert_eq!(denial.reason(), "The policy's setting `days` names no day.");
    /// ```
    pub fn bad_setting(key: &str, what: &str) -> Denial {
        bad(key, what)
    }

    /// Whether the agent has this among its capabilities.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// let asked = Request { capabilities: vec!["summarise".into()], ..Request::example() };
    /// assert!(asked.has_capability("summarise") && !asked.has_capability("delete"));
    /// ```
    pub fn has_capability(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|has| has == capability)
    }

    /// Whether this scope is asked for.
    ///
    /// ```
    /// # use agentidp_policy::Request;
    /// assert!(Request::example().asks_for("files:write"));
    /// ```
    pub fn asks_for(&self, scope: &str) -> bool {
        self.scopes.iter().any(|asked| asked == scope)
    }
}

fn bad(key: &str, what: &str) -> Denial {
    // Without `format!`, which would cost 5 KB.
    ["The policy's setting `", key, "` ", what, "."]
        .concat()
        .into()
}
