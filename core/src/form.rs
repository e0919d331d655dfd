//! Forms, RFC 6749 §3.2 and appendix B, from bytes to names and values: no
//! parameter twice but `resource` (RFC 8707 §2), an empty value is no value, and
//! unknown parameters are passed over.
//!
//! Pure, and without a path to the rest of the crate: the fuzz targets compile
//! this very file.

use std::fmt;

/// How many parameters a form may have.
pub const MOST_PARAMETERS: usize = 64;

/// A form that was read.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

/// Why a form cannot be read, or says too little. All are `invalid_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormError {
    /// A name that may stand once stands twice.
    Doubled,
    /// More than [`MOST_PARAMETERS`].
    TooMany,
    /// An escape that is none.
    Escape,
    /// Bytes that are no text.
    NotUtf8,
    /// The parameter of this name is absent or empty.
    Missing(String),
}

/// The words that go on the wire.
impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubled => f.write_str("A parameter stands twice."),
            Self::TooMany => f.write_str("There are too many parameters."),
            Self::Escape => f.write_str("The form has a broken escape."),
            Self::NotUtf8 => f.write_str("The form is not UTF-8."),
            Self::Missing(name) => write!(f, "The parameter {name} is required."),
        }
    }
}

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// All but [`FormError::Missing`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in bytes.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
            let mut halves = part.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if name != "resource" && pairs.iter().any(|(known, _)| *known == name) {
                return Err(FormError::Doubled);
            }
            if pairs.len() == MOST_PARAMETERS {
                return Err(FormError::TooMany);
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The parameter's value, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self
            .0
            .iter()
            .filter(|(known, value)| known == name && !value.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The parameter's value.
    ///
    /// # Errors
    /// [`FormError::Missing`], naming it.
    pub fn required(&self, name: &str) -> Result<&str, FormError> {
        self.value(name)
            .ok_or_else(|| FormError::Missing(name.to_owned()))
    }
}

/// One name or value, percent-decoded; it must be UTF-8.
///
/// # Errors
/// [`FormError::Escape`], [`FormError::NotUtf8`].
pub fn decode(part: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(FormError::Escape),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| FormError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read_as_the_rfc_says() {
        let form =
            Form::parse(b"grant_type=client_credentials&scope=a%3Ab+c&resource=x&resource=y&e=")
                .unwrap();
        assert_eq!(form.value("grant_type"), Some("client_credentials"));
        assert_eq!(form.value("scope"), Some("a:b c"));
        assert_eq!(form.values("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(form.value("e"), None);
        assert_eq!(form.required("e"), Err(FormError::Missing("e".into())));
    }

    #[test]
    fn a_doubled_parameter_a_broken_escape_and_bytes_that_are_no_text_are_refused() {
        for (body, why) in [
            (&b"a=1&a=2"[..], FormError::Doubled),
            (b"a=%", FormError::Escape),
            (b"a=%4", FormError::Escape),
            (b"a=%zz", FormError::Escape),
            (b"a=%ff", FormError::NotUtf8),
            (b"\xff=1", FormError::NotUtf8),
        ] {
            assert_eq!(Form::parse(body).unwrap_err(), why, "{body:?}");
        }
        let many = vec!["resource=x"; MOST_PARAMETERS + 1].join("&");
        assert_eq!(
            Form::parse(many.as_bytes()).unwrap_err(),
            FormError::TooMany
        );
    }

    /// Some octets as they are, all others as escapes in either case; a space as
    /// either of its two spellings.
    fn encode(text: &str, odd: bool) -> String {
        let spell = |byte: u8| match byte {
            b'a'..=b'z' if !odd => char::from(byte).to_string(),
            b' ' if odd => "+".to_owned(),
            byte if odd => format!("%{byte:02x}"),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(spell).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(256)
        })]

        #[test]
        fn what_was_written_is_read(
            pairs in prop::collection::btree_map(any::<String>(), any::<String>(), 0..12),
            resources in prop::collection::vec(any::<String>(), 0..6),
            odd in any::<bool>(),
        ) {
            let mut pairs: Vec<(String, String)> = pairs.into_iter().collect();
            pairs.retain(|(name, _)| name != "resource");
            let repeated = resources.iter().map(|r| ("resource".to_owned(), r.clone()));
            pairs.extend(repeated);
            let parts: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{}={}", encode(name, odd), encode(value, !odd)))
                .collect();

            let form = Form::parse(parts.join("&").as_bytes()).unwrap();
            for (name, value) in &pairs {
                if name != "resource" {
                    let value = Some(value.as_str()).filter(|value| !value.is_empty());
                    prop_assert_eq!(form.value(name), value);
                    prop_assert_eq!(form.required(name).ok(), value);
                }
            }
            let full = resources.iter().filter(|r| !r.is_empty());
            prop_assert!(form.values("resource").eq(full));
        }

        #[test]
        fn a_name_stands_twice_in_no_form_however_it_is_spelt(
            name in any::<String>(),
            other in "[a-z]{0,3}",
            odd in any::<bool>(),
        ) {
            let (once, again) = (encode(&name, odd), encode(&name, !odd));
            let body = format!("{once}=1&{other}={other}&{again}=2");
            let read = Form::parse(body.as_bytes()).map(|form| form.0.len());
            if name == "resource" {
                prop_assert_eq!(read, Ok(3));
            } else {
                prop_assert_eq!(read, Err(FormError::Doubled));
            }
        }

        #[test]
        fn any_bytes_are_a_form_or_are_refused(bytes in any::<Vec<u8>>()) {
            if let Ok(form) = Form::parse(&bytes) {
                prop_assert!(form.0.len() <= MOST_PARAMETERS);
            }
        }
    }
}
