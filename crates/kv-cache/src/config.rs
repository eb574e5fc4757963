//! Sizes of a cache, from the sizes of a model and the memory of a device.

use crate::KvCacheError;

/// Largest number of pages or host slots.
const MAX_PAGES: usize = 1 << 26;
/// Largest number of tokens a page.
const MAX_PAGE_SIZE: usize = 1 << 12;

/// How large a cached number is: `bytes` hold `per` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementSize {
    /// Bytes.
    pub bytes: usize,
    /// Numbers in them.
    pub per: usize,
}

impl ElementSize {
    /// 32-bit floats.
    pub const F32: Self = Self { bytes: 4, per: 1 };
    /// 16-bit floats of either kind.
    pub const F16: Self = Self { bytes: 2, per: 1 };
    /// Blocks of 32 signed bytes and one 16-bit scale.
    pub const Q8_0: Self = Self { bytes: 34, per: 32 };
    /// 8-bit floats.
    pub const F8: Self = Self { bytes: 1, per: 1 };
}

/// What of a model decides the size of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Heads of keys and values, which are fewer than those of queries in most models.
    pub num_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Layers that cache keys and values.
    pub num_layers: usize,
    /// Size of a number.
    pub element: ElementSize,
}

/// Usual page sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 16 tokens a page: least waste, most sharing.
    Small,
    /// 32 tokens a page.
    Medium,
    /// 64 tokens a page: shortest block tables.
    Large,
}

impl Preset {
    /// Fewest pages of a preset.
    pub const MIN_PAGES: usize = 64;
    /// Most pages of a preset.
    pub const MAX_PAGES: usize = 8192;

    /// Tokens a page.
    pub fn page_size(self) -> usize {
        match self {
            Preset::Small => 16,
            Preset::Medium => 32,
            Preset::Large => 64,
        }
    }
}

/// Sizes of a cache. A page is what the rest of this crate calls a block.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheConfig {
    /// Tokens a page.
    pub page_size: usize,
    /// Pages on the device.
    pub max_pages: usize,
    /// Heads of keys and values.
    pub num_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Layers that cache keys and values.
    pub num_layers: usize,
    /// Size of a number.
    pub element: ElementSize,
    /// Pages of the second tier, in memory of the host; 0: there is none.
    pub host_pages: usize,
    /// Events kept for [`BlockPool::take_events`](crate::BlockPool::take_events); 0: none are recorded.
    pub max_events: usize,
    /// Must be off. Compaction moves what is in use together to close gaps; pages of one size leave none, since any
    /// free page serves any sequence. The field exists so that a configuration that sets it is told so.
    pub enable_compaction: bool,
    /// Share of unused memory above which compaction would begin; has no effect, since there is none.
    pub compaction_threshold: f32,
}

impl CacheConfig {
    /// 1,000 pages of 16 tokens for a model of this shape.
    pub fn new(shape: CacheShape) -> Self {
        Self {
            page_size: 16,
            max_pages: 1000,
            num_heads: shape.num_heads,
            head_dim: shape.head_dim,
            num_layers: shape.num_layers,
            element: shape.element,
            host_pages: 0,
            max_events: 0,
            enable_compaction: false,
            compaction_threshold: 0.3,
        }
    }

    /// As many pages as fit in half of the device's memory, but at most [`Preset::MAX_PAGES`].
    ///
    /// # Errors
    /// A size of zero, sizes whose product overflows, or less memory than [`Preset::MIN_PAGES`] take.
    pub fn preset(preset: Preset, shape: CacheShape, device_bytes: usize) -> Result<Self, KvCacheError> {
        let mut config = Self { page_size: preset.page_size(), ..Self::new(shape) };
        let (page, available) = (config.page_bytes()?, device_bytes / 2);
        let needed = page.checked_mul(Preset::MIN_PAGES);
        let Some(needed) = needed else {
            return Err(overflow("the smallest cache", &[page, Preset::MIN_PAGES]));
        };
        if needed > available {
            return Err(KvCacheError::OverBudget { pages: Preset::MIN_PAGES, needed, available });
        }
        config.max_pages = (available / page).min(Preset::MAX_PAGES);
        Ok(config)
    }

    /// Bytes of a page: keys and values of all layers.
    ///
    /// # Errors
    /// A size of zero, or sizes whose product overflows.
    pub fn page_bytes(&self) -> Result<usize, KvCacheError> {
        let sizes = [
            ("page_size", self.page_size, MAX_PAGE_SIZE),
            ("num_heads", self.num_heads, usize::MAX),
            ("head_dim", self.head_dim, usize::MAX),
            ("num_layers", self.num_layers, usize::MAX),
            ("element.bytes", self.element.bytes, usize::MAX),
            ("element.per", self.element.per, usize::MAX),
        ];
        for (what, found, max) in sizes {
            within(what, found, max)?;
        }
        let factors = [2, self.page_size, self.num_heads, self.head_dim, self.num_layers];
        let elements = product("a page", &factors)?;
        product("a page", &[elements.div_ceil(self.element.per), self.element.bytes])
    }

    /// Bytes of all pages on the device.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn device_bytes(&self) -> Result<usize, KvCacheError> {
        self.check()?;
        product("the cache", &[self.page_bytes()?, self.max_pages])
    }

    /// Bytes of the second tier.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn host_bytes(&self) -> Result<usize, KvCacheError> {
        self.check()?;
        product("the host tier", &[self.page_bytes()?, self.host_pages])
    }

    /// Whether a cache can be made of this.
    ///
    /// # Errors
    /// A size of zero or beyond all measure, sizes whose product overflows, compaction asked for.
    pub fn check(&self) -> Result<(), KvCacheError> {
        if self.enable_compaction {
            return Err(KvCacheError::NothingToCompact);
        }
        if !(0.0..=1.0).contains(&self.compaction_threshold) {
            return Err(KvCacheError::BadThreshold(self.compaction_threshold));
        }
        self.page_bytes().and_then(|_| check_pool(self.page_size, self.max_pages, self.host_pages))
    }
}

/// Whether a pool of these sizes can be made.
pub(crate) fn check_pool(page_size: usize, pages: usize, host_pages: usize) -> Result<(), KvCacheError> {
    within("block size", page_size, MAX_PAGE_SIZE)?;
    within("number of blocks", pages, MAX_PAGES)?;
    // None is allowed on the host.
    within("number of host slots", host_pages.max(1), MAX_PAGES)
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), KvCacheError> {
    if found == 0 || found > max { Err(KvCacheError::BadSize { what, found, max }) } else { Ok(()) }
}

fn product(what: &'static str, factors: &[usize]) -> Result<usize, KvCacheError> {
    let product = factors.iter().try_fold(1usize, |product, factor| product.checked_mul(*factor));
    product.ok_or_else(|| overflow(what, factors))
}

fn overflow(what: &'static str, factors: &[usize]) -> KvCacheError {
    KvCacheError::SizeOverflow { what, factors: factors.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of 28 layers with 2 heads of 64.
    const SHAPE: CacheShape = CacheShape { num_heads: 2, head_dim: 64, num_layers: 28, element: ElementSize::F16 };

    #[test]
    fn bytes_count_keys_and_values_of_all_layers() {
        let config = CacheConfig::new(SHAPE);
        assert_eq!(config.page_bytes(), Ok(2 * 16 * 2 * 64 * 28 * 2));
        assert_eq!(config.device_bytes(), Ok(2 * 16 * 2 * 64 * 28 * 2 * 1000));
        assert_eq!(config.host_bytes(), Ok(0));
        let q8_0 = CacheConfig { element: ElementSize::Q8_0, ..config };
        assert_eq!(q8_0.page_bytes(), Ok(2 * 16 * 2 * 64 * 28 / 32 * 34));
    }

    #[test]
    fn a_preset_takes_half_of_the_memory_within_its_bounds() {
        let pages = |preset, bytes| CacheConfig::preset(preset, SHAPE, bytes).map(|c| (c.page_size, c.max_pages));
        let page = CacheConfig::new(SHAPE).page_bytes().expect("valid");
        assert_eq!(pages(Preset::Small, 2 * page * 100), Ok((16, 100)));
        assert_eq!(pages(Preset::Medium, 2 * page * 200), Ok((32, 100)));
        assert_eq!(pages(Preset::Large, usize::MAX), Ok((64, 8192)));
        assert_eq!(pages(Preset::Small, 2 * page * 64), Ok((16, 64)));
        let error = KvCacheError::OverBudget { pages: 64, needed: 64 * page, available: page * 63 };
        assert_eq!(pages(Preset::Small, 2 * page * 63), Err(error));
    }

    #[test]
    fn bad_sizes_are_errors_and_never_wrap() {
        let config = CacheConfig::new(SHAPE);
        let with = |change: fn(&mut CacheConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.device_bytes()
        };
        assert!(matches!(with(|c| c.head_dim = 0), Err(KvCacheError::BadSize { what: "head_dim", .. })));
        assert!(matches!(with(|c| c.max_pages = 0), Err(KvCacheError::BadSize { what: "number of blocks", .. })));
        assert!(matches!(with(|c| c.head_dim = usize::MAX / 2), Err(KvCacheError::SizeOverflow { .. })));
        assert!(matches!(with(|c| c.num_layers = 1 << 44), Err(KvCacheError::SizeOverflow { .. })));
        assert_eq!(with(|c| c.enable_compaction = true), Err(KvCacheError::NothingToCompact));
        assert_eq!(with(|c| c.compaction_threshold = 1.5), Err(KvCacheError::BadThreshold(1.5)));
        assert!(with(|c| c.compaction_threshold = f32::NAN).is_err());
    }
}
