//! Which edge is asked, and what the one who asks may use.

use url::Url;

/// An edge and, where it is known, its core.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the edge is, without a slash at its end.
    pub edge: Url,
    /// Where tokens come from and are revoked.
    pub core: Option<Core>,
    /// A ready token, where there is no core to ask.
    pub token: Option<String>,
    /// A client whose limit is small enough to be spent.
    pub limited: Option<Client>,
    /// A path that needs more than `narrow`.
    pub scoped: Option<Scoped>,
    /// A path before an origin that answers with the request it got, as
    /// `agentidp dev`'s does: `{"method","path","query","headers","body"}`.
    pub echo_path: Option<String>,
    /// The core's private key, PKCS#8 in PEM, Ed25519: for a deployment that is
    /// made to be tested, never for one that anybody uses.
    pub signing_key: Option<String>,
}

/// The core, and a client of it.
#[derive(Debug, Clone)]
pub struct Core {
    /// Without a slash at its end.
    pub url: Url,
    /// Whose tokens are used.
    pub client: Client,
    /// What the tokens are asked for; the tenant's default where it is not said.
    pub resource: Option<String>,
}

/// A client's id and secret.
#[derive(Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A path, and a scope that the client has and that does not suffice there.
#[derive(Debug, Clone)]
pub struct Scoped {
    /// With a slash at its beginning.
    pub path: String,
    /// One scope.
    pub narrow: String,
}

impl Target {
    /// Out of the environment; see docs/edge.md for the names.
    ///
    /// # Errors
    /// The variable that is missing or is not what it should be.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let given = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let together = |first: &str, second: &str| match (given(first), given(second)) {
            (Some(one), Some(two)) => Ok(Some((one, two))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(format!("{second} is set, and {first} is not")),
            (Some(_), None) => Err(format!("{first} is set, and {second} is not")),
        };
        let edge = given("URL").ok_or("URL is required: make edge-conformance URL=https://…")?;
        let client = |(id, secret)| Client { id, secret };
        let core = match (given("CORE_URL"), together("CLIENT_ID", "CLIENT_SECRET")?) {
            (Some(url), Some(of)) => Some(Core {
                url: read("CORE_URL", &url)?,
                client: client(of),
                resource: given("RESOURCE"),
            }),
            (None, None) => None,
            _ => return Err("CORE_URL, CLIENT_ID and CLIENT_SECRET go together".to_owned()),
        };
        let scoped = together("SCOPED_PATH", "NARROW_SCOPE")?;
        let signing_key = match given("SIGNING_KEY_FILE") {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(&path)
                    .map_err(|why| format!("SIGNING_KEY_FILE: {path} cannot be read: {why}"))?,
            ),
        };
        Ok(Self {
            edge: read("URL", &edge)?,
            core,
            token: given("TOKEN"),
            limited: together("LIMITED_CLIENT_ID", "LIMITED_CLIENT_SECRET")?.map(client),
            scoped: scoped.map(|(path, narrow)| Scoped { path, narrow }),
            echo_path: given("ECHO_PATH"),
            signing_key,
        })
    }
}

fn read(name: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim_end_matches('/'));
    let url = url.ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    });
    url.ok_or_else(|| format!("{name} must be an http or https URL without a query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Target, String> {
        Target::from_vars(|name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_url_it_says_how_to_give_one() {
        for vars in [&[][..], &[("URL", " ")]] {
            let why = from(vars).unwrap_err();
            assert!(why.starts_with("URL is required: make edge-conformance URL="));
        }
    }

    #[test]
    fn what_belongs_together_is_given_together() {
        let url = ("URL", "https://edge.example");
        assert!(from(&[url]).unwrap().core.is_none());
        for half in ["CORE_URL", "CLIENT_ID", "CLIENT_SECRET", "NARROW_SCOPE"] {
            assert!(from(&[url, (half, "https://x.example")]).is_err(), "{half}");
        }
        let whole = [
            url,
            ("CORE_URL", "https://idp.example/base/"),
            ("CLIENT_ID", "a"),
            ("CLIENT_SECRET", "b"),
        ];
        let core = from(&whole).unwrap().core.unwrap();
        assert_eq!(core.url.as_str(), "https://idp.example/base");
        assert!(!format!("{core:?}").contains("\"b\""));
        assert!(from(&[("URL", "ftp://edge.example")]).is_err());
        assert!(from(&[("URL", "https://edge.example?x=1")]).is_err());
    }
}
