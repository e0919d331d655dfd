//! The settings, read once from the environment. A bad value stops the process
//! before a port is bound, and the error names the variable.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use ipnet::IpNet;
use url::Url;

use crate::addresses::networks;

/// How the service logs and how strict it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// One line a request, in the common log format.
    Development,
    /// Structured JSON.
    Production,
    /// No access log.
    Test,
}

/// Where the hot counters live.
#[derive(Clone, PartialEq, Eq)]
pub enum HotUrl {
    /// A Redis URL.
    Redis(String),
    /// This process.
    Memory,
}

impl fmt::Debug for HotUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis(_) => "redis",
            Self::Memory => "memory",
        })
    }
}

/// A PEM text; never printed.
#[derive(Clone)]
pub struct Pem(pub(crate) String);

impl From<String> for Pem {
    fn from(pem: String) -> Self {
        Self(pem)
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(…)")
    }
}

/// A URL that may hold a password; never printed.
#[derive(Clone)]
pub struct DatabaseUrl(pub(crate) String);

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// What `serve` runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// PostgreSQL.
    pub database_url: DatabaseUrl,
    /// Connections at most.
    pub database_pool_size: u32,
    /// Redis, or memory.
    pub hot_url: HotUrl,
    /// The signing key.
    pub jwt_private_key: Pem,
    /// Its public half.
    pub jwt_public_key: Pem,
    /// Where to listen.
    pub host: IpAddr,
    /// Where to listen; 0 for any free port.
    pub port: u16,
    /// `iss`.
    pub issuer: Issuer,
    /// Development, production or test.
    pub app_env: AppEnv,
    /// The allow-list of CORS.
    pub cors_origins: Vec<String>,
    /// A window's length in milliseconds, at least 1,000.
    pub rate_limit_window_ms: u64,
    /// Days from a tenant's deletion until what it has is gone, at most 365.
    pub tenant_grace_days: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What an address may do before anybody has authenticated.
    pub address_limits: AddressLimits,
    /// Where `/metrics` is, if not on `port`; 0 for any free port.
    pub metrics_port: Option<u16>,
}

/// What an address may do before anybody has authenticated.
#[derive(Debug, Clone, Copy)]
pub struct AddressLimits {
    /// Requests a second, in the long run.
    pub requests_per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
    /// Requests a minute that fail to authenticate; as many at once.
    pub failures_per_minute: NonZeroU32,
}

/// A variable that is missing or unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// One variable is missing.
    #[error("{0} environment variable is required")]
    Missing(&'static str),
    /// The key pair is not whole.
    #[error("JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required")]
    MissingKeys,
    /// A value cannot be used.
    #[error("{name} {problem}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What is wrong with it; never its value.
        problem: String,
    },
}

/// The issuer: an absolute URL without query or fragment (RFC 8414 §2), kept
/// byte for byte as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    origin: String,
    path: String,
}

impl Issuer {
    /// Reads an issuer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err("has no host".to_owned()),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err("must be https (http only on loopback)".to_owned()),
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("must have no query, fragment or user".to_owned());
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            path: url.path().trim_end_matches('/').to_owned(),
            text: text.to_owned(),
        })
    }

    /// `iss`, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path without a slash at its end; empty for none.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(&environment())
    }

    /// Reads the settings out of `vars`. An empty value is no value.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn from_vars(vars: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let read = |name| vars.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let database_url = read("DATABASE_URL").ok_or(ConfigError::Missing("DATABASE_URL"))?;
        let hot_url = match read("REDIS_URL").ok_or(ConfigError::Missing("REDIS_URL"))? {
            "memory:" => HotUrl::Memory,
            url => HotUrl::Redis(url.to_owned()),
        };
        let pem = |name| read(name).map(|text| Pem(text.replace("\\n", "\n")));
        let (Some(jwt_private_key), Some(jwt_public_key)) =
            (pem("JWT_PRIVATE_KEY"), pem("JWT_PUBLIC_KEY"))
        else {
            return Err(ConfigError::MissingKeys);
        };
        let port = number(read("PORT"), "PORT", 3000, 0..=65_535)? as u16;
        let count = |name, default| {
            let number = number(read(name), name, default, 1..=1_000_000_000)?;
            let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
            number.ok_or_else(|| invalid(name, "must be a number that is not zero"))
        };
        let issuer =
            read("ISSUER_URL").map_or_else(|| format!("http://localhost:{port}"), str::to_owned);
        Ok(Self {
            database_url: DatabaseUrl(database_url.to_owned()),
            database_pool_size: number(
                read("DATABASE_POOL_SIZE"),
                "DATABASE_POOL_SIZE",
                16,
                2..=1000,
            )? as u32,
            hot_url,
            jwt_private_key,
            jwt_public_key,
            host: match read("HOST") {
                None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Some(host) => host
                    .parse()
                    .map_err(|_| invalid("HOST", "is not an IP address"))?,
            },
            port,
            issuer: Issuer::parse(&issuer).map_err(|problem| invalid("ISSUER_URL", problem))?,
            app_env: match read("APP_ENV") {
                None | Some("development") => AppEnv::Development,
                Some("production") => AppEnv::Production,
                Some("test") => AppEnv::Test,
                Some(_) => {
                    return Err(invalid(
                        "APP_ENV",
                        "must be development, production or test",
                    ));
                }
            },
            cors_origins: origins(read("CORS_ORIGIN"))?,
            rate_limit_window_ms: number(
                read("RATE_LIMIT_WINDOW_MS"),
                "RATE_LIMIT_WINDOW_MS",
                60_000,
                1_000..=86_400_000,
            )?,
            tenant_grace_days: number(read("TENANT_GRACE_DAYS"), "TENANT_GRACE_DAYS", 30, 0..=365)?
                as u32,
            trusted_proxies: networks(read("TRUSTED_PROXIES").unwrap_or_default()).ok_or_else(
                || {
                    let problem =
                        "must be addresses or networks such as 10.0.0.0/8, separated by commas";
                    invalid("TRUSTED_PROXIES", problem)
                },
            )?,
            address_limits: AddressLimits {
                requests_per_second: count("ADDRESS_REQUESTS_PER_SECOND", 10_000)?,
                burst: count("ADDRESS_BURST", 20_000)?,
                failures_per_minute: count("ADDRESS_FAILURES_PER_MINUTE", 600)?,
            },
            metrics_port: match read("METRICS_PORT") {
                None => None,
                text => Some(number(text, "METRICS_PORT", 0, 0..=65_535)? as u16),
            },
        })
    }
}

/// Origins as browsers send them (RFC 6454 §6.2); never `*`.
fn origins(value: Option<&str>) -> Result<Vec<String>, ConfigError> {
    let items = value.unwrap_or_default().split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(|item| {
            let is_origin = Url::parse(item)
                .is_ok_and(|url| url.has_host() && url.origin().ascii_serialization() == item);
            let problem = "must be origins such as https://app.example, separated by commas";
            is_origin
                .then(|| item.to_owned())
                .ok_or_else(|| invalid("CORS_ORIGIN", problem))
        })
        .collect()
}

/// The variables of the process that are text.
pub(crate) fn environment() -> HashMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

fn number(
    value: Option<&str>,
    name: &'static str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    let Some(value) = value else {
        return Ok(default);
    };
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            invalid(
                name,
                format!("must be a number from {} to {}", range.start(), range.end()),
            )
        })
}

fn invalid(name: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        name,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut vars: HashMap<String, String> = [
            ("DATABASE_URL", "postgres://u:secret@h/d"),
            ("REDIS_URL", "redis://:secret@h"),
            ("JWT_PRIVATE_KEY", "-----BEGIN\\nsecret"),
            ("JWT_PUBLIC_KEY", "-----BEGIN"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in extra {
            vars.insert((*name).to_owned(), (*value).to_owned());
        }
        Config::from_vars(&vars)
    }

    #[test]
    fn what_is_missing_is_said_in_the_contracts_words() {
        for (name, words) in [
            (
                "DATABASE_URL",
                "DATABASE_URL environment variable is required",
            ),
            ("REDIS_URL", "REDIS_URL environment variable is required"),
            (
                "JWT_PRIVATE_KEY",
                "JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required",
            ),
            (
                "JWT_PUBLIC_KEY",
                "JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required",
            ),
        ] {
            assert_eq!(read(&[(name, "")]).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn a_bad_value_is_named_and_not_repeated() {
        for (name, value) in [
            ("PORT", "70000"),
            ("APP_ENV", "staging"),
            ("ISSUER_URL", "http://idp.example"),
            ("ISSUER_URL", "https://idp.example/?a=b"),
            ("RATE_LIMIT_WINDOW_MS", "999"),
            ("TENANT_GRACE_DAYS", "366"),
            ("TENANT_GRACE_DAYS", "-1"),
            ("HOST", "everywhere"),
            ("CORS_ORIGIN", "*"),
            ("CORS_ORIGIN", "https://a.example/"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
            assert!(!error.contains(value), "{error}");
        }
    }

    #[test]
    fn nothing_secret_is_in_the_debug_output() {
        let config = read(&[]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(config.jwt_private_key.0, "-----BEGIN\nsecret");
        assert_eq!(config.issuer.as_str(), "http://localhost:3000");
    }
}
