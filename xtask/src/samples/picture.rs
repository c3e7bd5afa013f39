//! The Mandelbrot set as a BMP, which every system can show: 256 colours, one byte for each point, from the bottom up. Only sums and
//! products are taken, which are the same on every machine.

const LEN: usize = 583_163;
const WIDTH: u32 = 880;
const HEIGHT: u32 = 660;

/// What the format puts in front: the file's header, the picture's, and the colours.
const HEADERS: usize = 14 + 40 + 256 * 4;

/// Where the points begin. The format allows for a gap before them, which makes the length.
const POINTS: usize = LEN - (WIDTH * HEIGHT) as usize;

/// The picture.
pub(super) fn bmp() -> Vec<u8> {
    let mut bmp = Vec::with_capacity(LEN);
    let mut put = |bytes: &[u8]| bmp.extend_from_slice(bytes);
    // BITMAPFILEHEADER: the length, two reserved fields, where the points are.
    put(b"BM");
    for field in [LEN as u32, 0, POINTS as u32] {
        put(&field.to_le_bytes());
    }
    // BITMAPINFOHEADER: one plane, 8 bits for each point, not compressed, 2835 points per metre, 256 colours.
    for field in [40, WIDTH, HEIGHT, 1 | 8 << 16, 0, WIDTH * HEIGHT, 2835, 2835, 256, 0] {
        put(&field.to_le_bytes());
    }
    for steps in 0..=255 {
        put(&colour(steps));
    }
    put(&[0; POINTS - HEADERS]);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            put(&[steps(column, row)]);
        }
    }
    bmp
}

/// After how many steps z² + c has left the circle of radius 2; 0: it stays.
fn steps(column: u32, row: u32) -> u8 {
    let unit = 3.0 / f64::from(WIDTH);
    let c = (f64::from(column) * unit - 2.25, (f64::from(row) - f64::from(HEIGHT) / 2.0) * unit);
    let mut z = (0.0, 0.0);
    for step in 1..=255 {
        let (re, im) = (z.0 * z.0, z.1 * z.1);
        if re + im > 4.0 {
            return step;
        }
        z = (re - im + c.0, 2.0 * z.0 * z.1 + c.1);
    }
    0
}

/// Blue, green, red, and a byte that is not used: from night to gold, and black for the set.
fn colour(steps: u8) -> [u8; 4] {
    if steps == 0 {
        return [0; 4];
    }
    let ramp = |from: u8, times: u8| from.saturating_add(steps.saturating_mul(times));
    let dusk = 255 - ramp(0, 5);
    [60 + dusk / 3, ramp(8, 5), ramp(16, 11), 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_header_says_what_follows() {
        let bmp = bmp();
        let field = |at: usize| u32::from_le_bytes(bmp[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&bmp[..2], b"BM");
        assert_eq!((field(2), field(14)), (bmp.len(), 40));
        // The points reach to the end, and begin behind the colours.
        assert_eq!(field(10) + field(18) * field(22), bmp.len());
        assert!(field(10) >= HEADERS && WIDTH.is_multiple_of(4));
        // The middle is in the set, the corner is not.
        assert_eq!(steps(WIDTH / 2, HEIGHT / 2), 0);
        assert_ne!(steps(0, 0), 0);
    }
}
