//! The rule for texts that people write into names and labels.

use crate::error::Failure;

/// Checks that `text` has `least` to `most` characters, none of them one that
/// cannot be seen, and no space at its ends.
///
/// # Errors
/// 422, naming `field`.
pub fn check(field: &str, text: &str, least: usize, most: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if !(least..=most).contains(&length) {
        let message = format!("must have {least} to {most} characters");
        return Err(Failure::invalid(field, message));
    }
    if text.chars().any(is_invisible) || text.trim() != text {
        let message = "must have no invisible characters, and no space at its ends";
        return Err(Failure::invalid(field, message));
    }
    Ok(())
}

/// Control characters, and those that make a name look like another one: joiners,
/// marks of direction, the byte order mark (Unicode's Cf, as far as it matters).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Checks each of `texts`, and that they are at most `count` and all different.
///
/// # Errors
/// 422, naming `field`.
pub fn check_list(field: &str, texts: &[String], count: usize, most: usize) -> Result<(), Failure> {
    if texts.len() > count {
        return Err(Failure::invalid(
            field,
            format!("must have at most {count} items"),
        ));
    }
    for (i, text) in texts.iter().enumerate() {
        check(field, text, 1, most)?;
        if texts[..i].contains(text) {
            return Err(Failure::invalid(field, "must name each item once"));
        }
    }
    Ok(())
}
