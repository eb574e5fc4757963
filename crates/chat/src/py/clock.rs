//! `strftime_now`: the date of a rendering, in UTC.

use super::{R, fail};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment, taken apart.
struct Moment {
    year: i64,
    /// 0 to 11.
    month: usize,
    day: i64,
    /// 0 is Sunday.
    weekday: usize,
    /// 0 is the first of January.
    year_day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    unix: i64,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

impl Moment {
    /// The proleptic Gregorian calendar repeats every 400 years of 146,097 days.
    fn new(unix: i64) -> Self {
        let (days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
        let era = days.div_euclid(146_097);
        let mut left = days.rem_euclid(146_097);
        let mut year = 1970 + 400 * era;
        loop {
            let length = 365 + i64::from(is_leap(year));
            if left < length {
                break;
            }
            left -= length;
            year += 1;
        }
        let year_day = left;
        let mut month = 0;
        while left >= month_days(year, month) {
            left -= month_days(year, month);
            month += 1;
        }
        Moment {
            year,
            month,
            day: left + 1,
            // The first of January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as usize,
            year_day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            unix,
        }
    }

    fn hour12(&self) -> i64 {
        match self.hour % 12 {
            0 => 12,
            hour => hour,
        }
    }

    /// Year and week by ISO 8601: weeks start on Monday, the first holds a Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let monday_based = (self.weekday as i64 + 6) % 7;
        let week = (self.year_day - monday_based + 10) / 7;
        let year_days = 365 + i64::from(is_leap(self.year));
        if week < 1 {
            let last_year = self.unix - (self.year_day + 1) * 86_400;
            return Moment::new(last_year).iso_week();
        }
        let days_left = year_days - self.year_day - 1;
        if week == 53 && days_left < 3 - monday_based {
            return (self.year + 1, 1);
        }
        (self.year, week)
    }
}

/// `datetime.strftime` for the moment `unix` (seconds since 1970, UTC). An unknown
/// conversion stays as it is, as in the C library.
pub(crate) fn strftime(unix: i64, format: &str) -> R<String> {
    // Years beyond four digits are no date of a conversation.
    if !(-62_135_596_800..253_402_300_800).contains(&unix) {
        return fail(format!("time {unix} is outside of the years 1 to 9999"));
    }
    let moment = Moment::new(unix);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut conversion = chars.next();
        let unpadded = matches!(conversion, Some('-'));
        if unpadded {
            conversion = chars.next();
        }
        let Some(conversion) = conversion else {
            out.push('%');
            break;
        };
        match convert(&moment, conversion) {
            Some(text) if unpadded => {
                let digits = text.trim_start_matches(['0', ' ']);
                out.push_str(if digits.is_empty() { "0" } else { digits });
            }
            Some(text) => out.push_str(&text),
            None => out.extend(['%', conversion]),
        }
    }
    Ok(out)
}

fn convert(at: &Moment, conversion: char) -> Option<String> {
    let (day_name, month_name) = (DAYS[at.weekday], MONTHS[at.month]);
    let clock = || format!("{:02}:{:02}:{:02}", at.hour, at.minute, at.second);
    let us_date = || format!("{:02}/{:02}/{:02}", at.month + 1, at.day, at.year % 100);
    let half = || if at.hour < 12 { "AM" } else { "PM" };
    Some(match conversion {
        'a' => day_name[..3].into(),
        'A' => day_name.into(),
        'b' | 'h' => month_name[..3].into(),
        'B' => month_name.into(),
        'c' => format!("{} {} {:2} {} {}", &day_name[..3], &month_name[..3], at.day, clock(), at.year),
        'C' => format!("{:02}", at.year / 100),
        'd' => format!("{:02}", at.day),
        'D' | 'x' => us_date(),
        'e' => format!("{:2}", at.day),
        'f' => "000000".into(),
        'F' => format!("{}-{:02}-{:02}", at.year, at.month + 1, at.day),
        'G' => at.iso_week().0.to_string(),
        'g' => format!("{:02}", at.iso_week().0 % 100),
        'H' => format!("{:02}", at.hour),
        'I' => format!("{:02}", at.hour12()),
        'j' => format!("{:03}", at.year_day + 1),
        'k' => format!("{:2}", at.hour),
        'l' => format!("{:2}", at.hour12()),
        'm' => format!("{:02}", at.month + 1),
        'M' => format!("{:02}", at.minute),
        'n' => "\n".into(),
        'p' => half().into(),
        'P' => half().to_lowercase(),
        'r' => format!("{:02}:{:02}:{:02} {}", at.hour12(), at.minute, at.second, half()),
        'R' => format!("{:02}:{:02}", at.hour, at.minute),
        's' => at.unix.to_string(),
        'S' => format!("{:02}", at.second),
        't' => "\t".into(),
        'T' | 'X' => clock(),
        'u' => (if at.weekday == 0 { 7 } else { at.weekday }).to_string(),
        'U' => format!("{:02}", (at.year_day + 7 - at.weekday as i64) / 7),
        'V' => format!("{:02}", at.iso_week().1),
        'w' => at.weekday.to_string(),
        'W' => format!("{:02}", (at.year_day + 7 - (at.weekday as i64 + 6) % 7) / 7),
        'y' => format!("{:02}", at.year % 100),
        'Y' => at.year.to_string(),
        // A moment without a time zone, which is what templates are given.
        'z' | 'Z' => String::new(),
        '%' => "%".into(),
        _ => return None,
    })
}
