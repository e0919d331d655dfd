//! What may be answered.

use crate::{Grant, Request};

/// What the token may be, or why there is none. As a `Result` it goes with `?`.
pub type Decision = Result<Grant, Denial>;

/// Why there is no token.
///
/// ```
/// use agentidp_policy::{Decision, Request, allow_all};
///
/// fn decide(request: &Request) -> Decision {
///     let team = request.setting("team").ok_or("The setting `team` is missing.")?;
///     Ok(allow_all(request).claim("team", team))
/// }
///
/// let denial = decide(&Request::example()).unwrap_err();
/// assert_eq!(denial.reason(), "The setting `team` is missing.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial(String);

impl Denial {
    /// What the client and the record are told: of more than 200 characters the first
    /// 200, and for the client what is not printable ASCII as `?`.
    pub fn reason(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_reason(self) -> String {
        self.0
    }
}

impl From<&str> for Denial {
    fn from(reason: &str) -> Self {
        Self(reason.into())
    }
}

impl From<String> for Denial {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// No token, and why not: a sentence for the client's log.
///
/// ```
/// # use agentidp_policy::deny;
/// assert_eq!(deny("Not today.").unwrap_err().reason(), "Not today.");
/// ```
pub fn deny(reason: impl Into<Denial>) -> Decision {
    Err(reason.into())
}

/// Everything that was asked for, at the ceiling. What follows narrows it:
///
/// ```
/// # use agentidp_policy::{Request, allow_all};
/// let grant = allow_all(&Request::example())
///     .without(["files:write"])
///     .for_at_most(600)
///     .at_most_per_minute(30);
/// assert_eq!(grant.scopes, ["files:read"]);
/// ```
pub fn allow_all(request: &Request) -> Grant {
    Grant {
        scopes: request.scopes.clone(),
        lifetime_seconds: None,
        requests_per_minute: None,
        claims: Vec::new(),
    }
}

/// Each takes something away, or leaves it as it was.
///
/// A grant that has no scope left where some were asked for is a denial to the host,
/// which tells the client just that: [`deny`] can say more.
impl Grant {
    /// Of the scopes only these.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).only(["files:read", "mail:send"]);
    /// assert_eq!(grant.scopes, ["files:read"]);
    /// ```
    pub fn only<S: AsRef<str>>(self, scopes: impl AsRef<[S]>) -> Self {
        let scopes = scopes.as_ref();
        self.only_where(|scope| scopes.iter().any(|only| only.as_ref() == scope))
    }

    /// Of the scopes all but these.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).without(["files:read"]);
    /// assert_eq!(grant.scopes, ["files:write"]);
    /// ```
    pub fn without<S: AsRef<str>>(self, scopes: impl AsRef<[S]>) -> Self {
        let scopes = scopes.as_ref();
        self.only_where(|scope| scopes.iter().all(|without| without.as_ref() != scope))
    }

    /// Of the scopes only those of which this is true.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).only_where(|scope| !scope.ends_with(":write"));
    /// assert_eq!(grant.scopes, ["files:read"]);
    /// ```
    pub fn only_where(mut self, is_granted: impl Fn(&str) -> bool) -> Self {
        self.scopes.retain(|scope| is_granted(scope));
        self
    }

    /// A life of at most so many seconds. The host grants one second at least.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).for_at_most(60).for_at_most(300);
    /// assert_eq!(grant.lifetime_seconds, Some(60));
    /// ```
    pub fn for_at_most(mut self, seconds: u32) -> Self {
        self.lifetime_seconds = Some(least(self.lifetime_seconds, seconds));
        self
    }

    /// At most so many requests a minute at the edge. With 0 the token is good for
    /// nothing there.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).at_most_per_minute(30);
    /// assert_eq!(grant.requests_per_minute, Some(30));
    /// ```
    pub fn at_most_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(least(self.requests_per_minute, requests));
        self
    }

    /// Says something more in the token, under `ext`. The host drops a claim that the
    /// upload did not name, and denies where names and values are more than 1 KB
    /// together or have control characters. The last value of a name counts.
    ///
    /// ```
    /// # use agentidp_policy::{Request, allow_all};
    /// let grant = allow_all(&Request::example()).claim("team", "billing");
    /// assert_eq!(grant.claims, [("team".into(), "billing".into())]);
    /// ```
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.claims.retain(|(given, _)| *given != name);
        self.claims.push((name, value.into()));
        self
    }
}

fn least(so_far: Option<u32>, most: u32) -> u32 {
    so_far.map_or(most, |so_far| so_far.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_follows_widens() {
        let grant = allow_all(&Request::example())
            .only(["files:read"])
            .only(["files:read", "files:write"])
            .for_at_most(10)
            .for_at_most(20)
            .at_most_per_minute(1)
            .at_most_per_minute(2);
        assert_eq!(grant.scopes, ["files:read"]);
        assert_eq!(grant.lifetime_seconds, Some(10));
        assert_eq!(grant.requests_per_minute, Some(1));
    }

    #[test]
    fn the_last_value_of_a_claim_counts() {
        let grant = allow_all(&Request::example())
            .claim("team", "a")
            .claim("step", "1")
            .claim("team", "b");
        let claims =
            [("step", "1"), ("team", "b")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(grant.claims, claims);
    }
}
