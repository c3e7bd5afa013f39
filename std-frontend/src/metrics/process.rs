//! What the system knows of this process. What it does not tell is left out.

pub(super) use crate::os::{max_files, open_files, resident_len};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_and_used_shows() {
        let _held = std::fs::File::open("/dev/null").unwrap();
        let open = open_files().unwrap();
        assert!(open >= 4 && max_files().is_none_or(|max| open <= max), "{open}");
        let before = resident_len().unwrap();
        let used = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = resident_len().unwrap();
        assert!(after >= before + (used.len() as u64 / 2), "{before}, {after}");
    }
}
