//! A song with many verses: each counts down by one, so that a verse that is lost or doubled shows, and a lost end too.

/// How long it is.
const LEN: usize = 55_696;

/// The song.
pub(super) fn text() -> Vec<u8> {
    // From the end, as many verses as there is room for.
    let mut verses: Vec<String> = Vec::new();
    let mut left = LEN - heading(0).len();
    loop {
        let verse = verse(verses.len() + 1);
        let Some(rest) = left.checked_sub(verse.len()) else { break };
        left = rest;
        verses.push(verse);
    }
    verses.push(heading(left));
    verses.reverse();
    verses.concat().into_bytes()
}

/// The title, underlined; the line takes up what no verse fits in.
fn heading(room: usize) -> String {
    format!("A SONG OF MANY PACKETS\n======================{}\n", "=".repeat(room))
}

fn verse(n: usize) -> String {
    let (now, later) = (packets(n), packets(n - 1));
    format!(
        "\n{now} of data on the wire, {now} of data.\nTake one down, pass it around, {later} of data on the wire.\n"
    )
}

fn packets(n: usize) -> String {
    match n {
        0 => "no more packets".to_owned(),
        1 => "1 packet".to_owned(),
        n => format!("{n} packets"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_sung_to_its_end() {
        let text = String::from_utf8(super::text()).unwrap();
        assert!(text.lines().all(|line| line.len() < 200));
        assert!(text.starts_with("A SONG OF MANY PACKETS\n====="));
        let end = "\n1 packet of data on the wire, 1 packet of data.\n\
            Take one down, pass it around, no more packets of data on the wire.\n";
        assert!(text.ends_with(end));
    }
}
