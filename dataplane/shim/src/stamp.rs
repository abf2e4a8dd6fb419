//! RFC 3339 time stamps in UTC with milliseconds, from milliseconds since 1970. Pure.

const MS_PER_DAY: u64 = 86_400_000;

/// Append `2026-01-31T23:59:59.999Z` for that many milliseconds since 1970 UTC.
pub fn append(wall_ms: u64, out: &mut Vec<u8>) {
    let (year, month, day) = date(wall_ms / MS_PER_DAY);
    let rest = wall_ms % MS_PER_DAY;
    digits(year, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b'T');
    digits(rest / 3_600_000, 2, out);
    out.push(b':');
    digits(rest / 60_000 % 60, 2, out);
    out.push(b':');
    digits(rest / 1000 % 60, 2, out);
    out.push(b'.');
    digits(rest % 1000, 3, out);
    out.push(b'Z');
}

/// Append `number` in decimal, padded with zeros to `width` places; higher places than that are cut off.
pub fn digits(number: u64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        let digit = number / 10_u64.saturating_pow(place) % 10;
        out.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is the last of its year; 400 of them have 146,097 days.
fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(wall_ms: u64) -> String {
        let mut out = Vec::new();
        append(wall_ms, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_moments_are_written_as_rfc_3339() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(stamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(stamp(1_709_251_200_042), "2024-03-01T00:00:00.042Z");
        assert_eq!(stamp(4_102_444_799_000), "2099-12-31T23:59:59.000Z");
    }

    #[test]
    fn every_day_of_a_century_follows_the_one_before() {
        let (mut year, mut month, mut day) = date(0);
        for days in 1..36_525 {
            let next = date(days);
            let same_month = (next.0, next.1) == (year, month) && next.2 == day + 1;
            assert!(same_month || next.2 == 1 && day >= 28, "{next:?} after {:?}", (year, month, day));
            (year, month, day) = next;
        }
        assert_eq!((year, month, day), (2069, 12, 31));
    }
}
