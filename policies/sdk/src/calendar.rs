//! The hour and the day, in UTC.

use std::str::FromStr;

use crate::Request;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A day of the week, read from `mon` or `Monday`.
///
/// ```
/// # use agentidp_policy::Weekday;
/// assert_eq!("sun".parse(), Ok(Weekday::Sunday));
/// assert!(Weekday::Monday < Weekday::Friday);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [(Self, &str); 7] = [
        (Self::Monday, "monday"),
        (Self::Tuesday, "tuesday"),
        (Self::Wednesday, "wednesday"),
        (Self::Thursday, "thursday"),
        (Self::Friday, "friday"),
        (Self::Saturday, "saturday"),
        (Self::Sunday, "sunday"),
    ];
}

impl FromStr for Weekday {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is = |name: &str| {
            let names = [Some(name), name.get(..3)];
            let mut names = names.iter().flatten();
            names.any(|name| name.eq_ignore_ascii_case(text))
        };
        let found = Self::ALL.iter().find(|(_, name)| is(name));
        found.map(|(day, _)| *day).ok_or(())
    }
}

/// When it is: days and hours are those of UTC.
impl Request {
    /// The hour, 0 to 23.
    pub fn hour(&self) -> u32 {
        self.minute_of_day() / 60
    }

    /// How many minutes the day is old: 0 to 1439.
    pub fn minute_of_day(&self) -> u32 {
        (self.now % DAY / MINUTE) as u32
    }

    /// The day of the week.
    pub fn weekday(&self) -> Weekday {
        // The first day of Unix time was a Thursday.
        let day = (self.now / DAY + 3) % 7;
        Weekday::ALL[day as usize].0
    }

    /// For tests: the same at this time of the same week, Monday to Sunday.
    ///
    /// ```
    /// # use agentidp_policy::{Request, Weekday};
    /// let asked = Request::example().at(Weekday::Saturday, 23, 30);
    /// assert_eq!((asked.weekday(), asked.hour()), (Weekday::Saturday, 23));
    /// ```
    pub fn at(self, day: Weekday, hour: u32, minute: u32) -> Self {
        let monday = self.now / DAY - self.weekday() as u64;
        let time = u64::from(hour) * HOUR + u64::from(minute) * MINUTE;
        Self {
            now: (monday + day as u64) * DAY + time,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> Request {
        Request {
            now,
            ..Request::example()
        }
    }

    #[test]
    fn the_hour_and_the_day_are_those_of_utc() {
        // `date -u --date @…`: Thursday 1970-01-01, Tuesday 2000-02-29, Sunday 2038-01-10.
        for (now, day, minute) in [
            (0, Weekday::Thursday, 0),
            (951_868_799, Weekday::Tuesday, 1_439),
            (951_868_800, Weekday::Wednesday, 0),
            (2_146_737_661, Weekday::Sunday, 12 * 60 + 1),
        ] {
            assert_eq!(
                (at(now).weekday(), at(now).minute_of_day()),
                (day, minute),
                "{now}"
            );
        }
    }

    #[test]
    fn a_day_is_known_by_its_name_or_three_letters_of_it() {
        for text in ["WED", "wed", "Wednesday"] {
            assert_eq!(text.parse(), Ok(Weekday::Wednesday));
        }
        for text in ["", "we", "wedn", "day"] {
            assert_eq!(text.parse::<Weekday>(), Err(()));
        }
    }

    #[test]
    fn another_time_is_in_the_same_week() {
        for (day, _) in Weekday::ALL {
            let moved = Request::example().at(day, 7, 5).at(Weekday::Monday, 10, 0);
            assert_eq!(moved, Request::example());
        }
    }
}
