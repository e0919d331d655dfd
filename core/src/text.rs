//! The rule for texts that people write into names and labels.

use crate::error::Failure;

/// Checks that `text` has `least` to `most` characters, none of them a control
/// character, and no space at its ends.
///
/// # Errors
/// 422, naming `field`.
pub fn check(field: &str, text: &str, least: usize, most: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if !(least..=most).contains(&length) {
        let message = format!("must have {least} to {most} characters");
        return Err(Failure::invalid(field, message));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        let message = "must have no control characters, and no space at its ends";
        return Err(Failure::invalid(field, message));
    }
    Ok(())
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
