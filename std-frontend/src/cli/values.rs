//! Values of options: durations, sizes, and texts with escapes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Seconds, with a fraction if need be: `300`, `0.5`, `0`.
pub(super) fn seconds(text: &str) -> Result<Duration> {
    let number: f64 = text.parse().context("seconds are a number, such as 30 or 0.5")?;
    ensure!(number >= 0.0, "seconds are 0 or more");
    Duration::try_from_secs_f64(number).context("so many seconds cannot be counted")
}

/// Seconds, and more than none.
pub(super) fn some_seconds(text: &str) -> Result<Duration> {
    let duration = seconds(text)?;
    ensure!(!duration.is_zero(), "more than 0 seconds are needed");
    Ok(duration)
}

/// A limit that 0 switches off.
pub(super) fn limit(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

/// Bytes: `1000`, `64K`, `10M`, `4G` (powers of 1024; `KiB` and so on will do too).
pub(super) fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => bail!("a size is a number of bytes, or one of K, M, G, T: 64K"),
    };
    let number: u64 =
        digits.trim_end().parse().context("a size is a number, such as 1000 or 4G")?;
    number.checked_mul(1 << shift).context("so many bytes cannot be counted")
}

/// A host, where the port is the next argument.
pub(super) fn host(text: &str) -> Result<String> {
    host_alone(text, |host, port| format!("the port is an argument of its own: {host} {port}"))
}

/// A host, where the port is another option.
pub(super) fn host_option(text: &str) -> Result<String> {
    host_alone(text, |host, port| {
        format!("the port is an option of its own: --host {host} --port {port}")
    })
}

/// A host, without anything else that a URL has.
fn host_alone(text: &str, instead: impl FnOnce(&str, &str) -> String) -> Result<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    if let Some((host, port)) = bare.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && (!host.contains(':') || host.starts_with('['))
    {
        bail!(instead(host, port));
    }
    ensure!(bare == text, "a host is a name or an address: {bare}");
    ensure!(!text.is_empty(), "a host is a name or an address: localhost, 127.0.0.1, ::1");
    Ok(text.to_owned())
}

/// A port to connect to.
pub(super) fn port(text: &str) -> Result<u16> {
    let port = text.parse().unwrap_or(0);
    ensure!(port > 0, "a port is a number from 1 to 65535; `list` shows the services'");
    Ok(port)
}

/// A text in which `\r`, `\n`, `\t`, `\\` and `\xNN` stand for bytes.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let hex = rest.as_str().get(..2).unwrap_or_default();
                let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                let Some(byte) = u8::from_str_radix(hex, 16).ok().filter(|_| digits) else {
                    bail!(r"\x is followed by two hexadecimal digits: \x0d");
                };
                rest.nth(1);
                byte
            }
            _ => bail!(r"a backslash begins one of \r \n \t \\ \xNN"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_fractions() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(limit(seconds("0").unwrap()), None);
        assert_eq!(limit(seconds("300").unwrap()), Some(Duration::from_secs(300)));
        for wrong in ["", "-1", "nan", "inf", "1e30", "5s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(some_seconds("0").is_err());
    }

    #[test]
    fn sizes_have_units() {
        let cases =
            [("0", 0), ("1000", 1000), ("64K", 64 << 10), ("4GiB", 4 << 30), ("2m", 2 << 20)];
        for (text, len) in cases {
            assert_eq!(bytes(text).unwrap(), len);
        }
        for wrong in ["", "K", "-1", "1.5G", "9X", "99999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_has_no_port_in_it() {
        for right in ["localhost", "127.0.0.1", "::1", "[::1]", "fe80::1%lo", "::1:80"] {
            assert_eq!(host(right).unwrap(), right);
        }
        let cases = [
            ("localhost:80", "its own: localhost 80"),
            ("[::1]:80", "its own: [::1] 80"),
            ("http://localhost:80/", "its own: localhost 80"),
            ("http://localhost/", "address: localhost"),
            ("", "a name or an address"),
        ];
        for (wrong, hint) in cases {
            let error = host(wrong).unwrap_err().to_string();
            assert!(error.contains(hint), "{wrong}: {error}");
        }
        let error = host_option("localhost:80").unwrap_err().to_string();
        assert_eq!(error, "the port is an option of its own: --host localhost --port 80");
        assert_eq!(port("65535").unwrap(), 65535);
        for wrong in ["", "0", "65536", "http", "-1"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescape(r"a\r\n\t\\\x00\xfFé").unwrap(), b"a\r\n\t\\\0\xff\xc3\xa9");
        for wrong in [r"\", r"\q", r"\x", r"\x1", r"\xg0", r"\x+1", r"\xé"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
