//! What an image costs, and the size of an image that comes inside its message.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What an image part costs, in tokens: with `detail: low` the same for all, else by how many tiles of 512 x 512 cover it after
/// fitting into 2048 x 2048 and bringing the shorter side down to 768. An image is never made larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRule {
    /// With `detail: low`.
    pub low: u32,
    /// With any other detail, besides the tiles.
    pub base: u32,
    /// Each tile.
    pub per_tile: u32,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// The most that the tile rule gives: 768 x 2048 is 2 x 4 tiles.
const MOST_TILES: u64 = 8;

impl ImageRule {
    /// Tokens of an image; the most the rule allows if its size is unknown.
    pub fn tokens(&self, low_detail: bool, size: Option<ImageSize>) -> u64 {
        if low_detail {
            return u64::from(self.low);
        }
        u64::from(self.base) + u64::from(self.per_tile) * size.map_or(MOST_TILES, ImageSize::tiles)
    }
}

/// Width and height in pixels, both over 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    width: u32,
    height: u32,
}

/// Padding and what is left of a cut-off group do not matter: only the head is read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Characters of base64 to decode, whole groups of four: first what any PNG, GIF or WebP needs, then what stands before the size
/// in a JPEG with a thumbnail of its own and a colour profile.
const HEADS: [usize; 2] = [1 << 10, 1 << 18];

impl ImageSize {
    /// A size, unless one side is 0.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        (width > 0 && height > 0).then_some(Self { width, height })
    }

    /// The size in the header of a PNG, JPEG, GIF or WebP image in base64; `None` if the header is of no such image, is damaged,
    /// or names a size of 0.
    pub fn of_base64(data: &str) -> Option<Self> {
        HEADS.into_iter().find_map(|n| {
            let head = data.as_bytes();
            let bytes = BASE64.decode(&head[..head.len().min(n)]).ok()?;
            let size = imagesize::blob_size(&bytes).ok()?;
            Self::new(u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?)
        })
    }

    /// The same for an image in a data URL; `None` for other URLs.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_at_checked("data:".len())?;
        let (kind, data) = rest.split_once(',')?;
        (scheme.eq_ignore_ascii_case("data:") && kind.ends_with(";base64")).then(|| Self::of_base64(data))?
    }

    /// How many tiles cover the image. Scaled sides are not rounded before they are cut into tiles: where a provider rounds down,
    /// that is a row more at a tile's edge, never one less.
    fn tiles(self) -> u64 {
        let long = u64::from(self.width.max(self.height));
        let short = u64::from(self.width.min(self.height));
        let fitted = long.min(2048);
        if short * fitted > 768 * long {
            // The shorter side is 768, two tiles; the longer one 768 * long / short.
            2 * (3 * long).div_ceil(2 * short)
        } else {
            fitted.div_ceil(512) * (short * fitted).div_ceil(512 * long)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: ImageRule = ImageRule { low: 85, base: 85, per_tile: 170, source: "" };

    fn url(bytes: &[u8]) -> String {
        format!("data:image/any;base64,{}", base64::prelude::BASE64_STANDARD.encode(bytes))
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes()].concat()
    }

    /// Sides as a provider would scale them, rounded down, in floating point.
    fn tiles_in_floats(size: ImageSize) -> f64 {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let fit = (2048.0 / width.max(height)).min(1.0);
        let shrink = (768.0 / (width.min(height) * fit)).min(1.0);
        let tiles = |side: f64| (((side * fit * shrink) + 1e-6).floor().max(1.0) / 512.0).ceil();
        tiles(width) * tiles(height)
    }

    #[test]
    fn published_examples() {
        for (width, height, tokens) in [(1024, 1024, 765), (2048, 4096, 1105), (512, 512, 255), (513, 512, 425)] {
            assert_eq!(RULE.tokens(false, ImageSize::new(width, height)), tokens, "{width} x {height}");
        }
        assert_eq!(RULE.tokens(true, ImageSize::new(4096, 8192)), 85);
        assert_eq!(RULE.tokens(false, None), 1445);
        assert_eq!(RULE.tokens(false, ImageSize::new(u32::MAX, u32::MAX)), 765);
        assert_eq!(RULE.tokens(false, ImageSize::new(u32::MAX, 1)), 85 + 170 * 4);
    }

    #[test]
    fn reads_the_size_of_each_format() {
        let jpeg = |app: usize| {
            let length = u16::try_from(app + 2).unwrap().to_be_bytes();
            let sof = b"\xff\xc0\x00\x11\x08\x00\x30\x00\x20\x03";
            [b"\xff\xd8\xff\xe1".as_slice(), &length, &vec![0; app], sof].concat()
        };
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\0\0\x2f\0\0";
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f\x1f\xc0\x0b\0";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x20\0\x30\0";
        let images: [&[u8]; 7] =
            [&png(32, 48), b"GIF89a\x20\0\x30\0\0\0", &jpeg(0), &jpeg(65_000), extended, lossless, lossy];
        for image in images {
            assert_eq!(ImageSize::of_url(&url(image)), ImageSize::new(32, 48), "{:?}", &image[..12]);
        }
    }

    #[test]
    fn unknown_sizes() {
        let whole = url(&png(32, 48));
        assert_eq!(ImageSize::of_url(&url(&png(0, 48))), None);
        assert_eq!(ImageSize::of_url("https://example.org/a.png"), None);
        assert_eq!(ImageSize::of_url(&whole.replace(";base64", "")), None);
        assert_eq!(ImageSize::of_url(&whole[..40]), None);
        assert_eq!(ImageSize::of_url(&whole.replace("AAA", "\u{e9}")), None);
        assert_eq!(ImageSize::of_url("\u{e9}\u{e9}\u{e9}"), None);
        assert_eq!(ImageSize::of_base64(""), None);
        assert_eq!(ImageSize::of_url(&whole.replace("data:", "DATA:")), ImageSize::new(32, 48));
    }

    proptest! {
        #[test]
        fn any_bytes_after_a_magic_cost_from_least_to_most(
            magic in prop::sample::select(vec![
                b"\x89PNG\r\n\x1a\n".as_slice(), b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L",
                b"RIFF\0\0\0\0WEBPVP8 ",
            ]),
            rest in prop::collection::vec(any::<u8>(), 0..64),
            cut in 0_usize..120,
        ) {
            let url = url(&[magic, &rest].concat());
            for url in [&url[..], &url[..url.len().min(cut)]] {
                prop_assert!((255..=1445).contains(&RULE.tokens(false, ImageSize::of_url(url))));
            }
        }

        #[test]
        fn tiles_are_those_of_scaled_sides(width in 1_u32..9000, height in 1_u32..9000) {
            let size = ImageSize::new(width, height).unwrap();
            #[allow(clippy::cast_precision_loss)]
            let (exact, rounded_down) = (size.tiles() as f64, tiles_in_floats(size));
            prop_assert!(exact >= rounded_down && size.tiles() <= MOST_TILES);
        }
    }
}
