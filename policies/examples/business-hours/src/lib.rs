//! Tokens on working days, between two times of the day.
//!
//! | setting | what | otherwise |
//! | --- | --- | --- |
//! | `open` | from when on, `9` or `09:30`, UTC | `9` |
//! | `close` | until when; earlier than `open` where the night is meant | `17` |
//! | `days` | on which days | `mon tue wed thu fri` |
//!
//! A token that is issued before closing time ends with it.

use agentidp_policy::{Decision, Denial, Policy, Request, Weekday, allow_all, deny};

const MINUTES_A_DAY: u32 = 24 * 60;

struct BusinessHours;

impl Policy for BusinessHours {
    fn decide(request: &Request) -> Decision {
        let open = time(request, "open", 9 * 60)?;
        let close = time(request, "close", 17 * 60)?;
        if !days(request)?.contains(&request.weekday()) {
            return deny("There are no tokens on this day of the week.");
        }
        let now = request.minute_of_day();
        let is_open = match open < close {
            true => (open..close).contains(&now),
            false => now >= open || now < close,
        };
        if !is_open {
            return deny("There are no tokens at this hour.");
        }
        // Of the minutes that are left the present one has begun.
        let left = (close + MINUTES_A_DAY - now - 1) % MINUTES_A_DAY;
        let seconds = left * 60 + 60 - (request.now % 60) as u32;
        Ok(allow_all(request).for_at_most(seconds))
    }
}

agentidp_policy::export!(BusinessHours);

/// In minutes of the day: `9`, `09:30`, `24:00`.
fn time(request: &Request, key: &str, otherwise: u32) -> Result<u32, Denial> {
    let Some(text) = request.setting(key) else {
        return Ok(otherwise);
    };
    let (hour, minute) = text.split_once(':').unwrap_or((text, "0"));
    match (hour.parse::<u32>(), minute.parse::<u32>()) {
        (Ok(hour @ 0..24), Ok(minute @ 0..60)) => Ok(hour * 60 + minute),
        (Ok(24), Ok(0)) => Ok(MINUTES_A_DAY),
        _ => Err(Request::bad_setting(key, "is no time of the day")),
    }
}

fn days(request: &Request) -> Result<Vec<Weekday>, Denial> {
    let words = request.words("days", "mon tue wed thu fri");
    let days: Result<Vec<_>, ()> = words.map(str::parse).collect();
    days.map_err(|()| Request::bad_setting("days", "names a day that there is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: Weekday, hour: u32, minute: u32) -> Request {
        Request::example().at(day, hour, minute)
    }

    fn is_open(request: Request) -> bool {
        BusinessHours::decide(&request).is_ok()
    }

    #[test]
    fn it_opens_at_nine_and_closes_at_five_on_working_days() {
        for (hour, minute, open) in [(8, 59, false), (9, 0, true), (16, 59, true), (17, 0, false)] {
            assert_eq!(
                is_open(at(Weekday::Friday, hour, minute)),
                open,
                "{hour}:{minute}"
            );
        }
        assert!(!is_open(at(Weekday::Saturday, 12, 0)));
    }

    #[test]
    fn the_settings_say_otherwise() {
        let on_sundays = |hour| {
            at(Weekday::Sunday, hour, 15)
                .with_setting("open", "06:15")
                .with_setting("close", "24:00")
                .with_setting("days", "sat,sun")
        };
        assert!(is_open(on_sundays(6)) && is_open(on_sundays(23)));
        assert!(!is_open(on_sundays(5)));
    }

    #[test]
    fn a_close_before_the_open_means_the_night() {
        let night = |hour| {
            at(Weekday::Monday, hour, 0)
                .with_setting("open", "22")
                .with_setting("close", "6")
        };
        assert!(is_open(night(22)) && is_open(night(0)) && is_open(night(5)));
        assert!(!is_open(night(6)) && !is_open(night(21)));
    }

    #[test]
    fn a_token_ends_at_closing_time() {
        let life = |request: Request| BusinessHours::decide(&request).unwrap().lifetime_seconds;
        assert_eq!(life(at(Weekday::Monday, 16, 50)), Some(600));
        let mut last = at(Weekday::Monday, 16, 59);
        last.now += 59;
        assert_eq!(life(last), Some(1));
        let night = at(Weekday::Monday, 23, 30).with_setting("open", "22");
        assert_eq!(life(night.with_setting("close", "6")), Some(390 * 60));
        let midnight = at(Weekday::Monday, 23, 30).with_setting("close", "24");
        assert_eq!(life(midnight), Some(1_800));
    }

    #[test]
    fn a_setting_that_means_nothing_denies_and_is_named() {
        for (key, value) in [
            ("open", "25"),
            ("close", "noon"),
            ("open", "9:60"),
            ("days", "funday"),
        ] {
            let asked = Request::example().with_setting(key, value);
            let denial = BusinessHours::decide(&asked).unwrap_err();
            assert!(denial.reason().contains(key), "{denial:?}");
        }
    }
}
