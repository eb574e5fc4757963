//! What RDNA4 numbers or names otherwise than RDNA3, by encoding; see [`named`](crate::isa::named) for the notation.
//! Opcodes are those of the RDNA4 ISA guide, chapter 15.

pub(super) const SOP2: &str = "
    0 s_add_co_u32=s_add_u32 s_sub_co_u32=s_sub_u32 s_add_co_i32=s_add_i32 s_sub_co_i32=s_sub_i32
    s_add_co_ci_u32=s_addc_u32 s_sub_co_ci_u32=s_subb_u32";

pub(super) const SOPK: &str = "
    3 - - - - - - - - - - - -
    15 s_addk_co_i32=s_addk_i32
    22 - - - - - -";

pub(super) const SOPP: &str = "
    4 - 8 s_wait_alu=s_waitcnt_depctr
    39 - - - -
    50 - 61 -";

pub(super) const SMEM: &str = "
    8 - - - - -
    16 s_buffer_load_b32 s_buffer_load_b64 s_buffer_load_b128 s_buffer_load_b256 s_buffer_load_b512
    32 -";

pub(super) const VOP2: &str = "
    2 v_add_f64 6 v_mul_f64
    13 v_min_num_f64=v_min_f64 v_max_num_f64=v_max_f64 - -
    21 v_min_num_f32=v_min_f32 v_max_num_f32=v_max_f32
    31 v_lshlrev_b64
    48 v_min_num_f16=v_min_f16 v_max_num_f16=v_max_f16
    57 - -";

/// Comparisons that ignore their operands are gone.
pub(super) const VOPC: &str = "
    0 - 15 - - 31 - - 47 - 64 - 71 - - 79 - - 87 - - 95 -
    128 - 143 - - 159 - - 175 - 192 - 199 - - 207 - - 215 - - 223 -";

pub(super) const VOP3: &str = "
    537 - 540 - 543 -
    553 v_min3_num_f32=v_min3_f32 v_max3_num_f32=v_max3_f32 v_min3_num_f16=v_min3_f16 v_max3_num_f16=v_max3_f16
    561 v_med3_num_f32=v_med3_f32 v_med3_num_f16=v_med3_f16
    585 - 588 - 591 -
    606 - - - -
    616 v_minmax_num_f32=v_minmax_f32 v_maxmin_num_f32=v_maxmin_f32
    v_minmax_num_f16=v_minmax_f16 v_maxmin_num_f16=v_maxmin_f16
    766 v_mad_co_u64_u32=v_mad_u64_u32 v_mad_co_i64_i32=v_mad_i64_i32
    807 - - - -
    828 -";

pub(super) const VOP3P: &str = "
    17 - - 27 v_pk_min_num_f16=v_pk_min_f16 v_pk_max_num_f16=v_pk_max_f16
    64 - - - - - -";

pub(super) const VOPD: &str = "10 v_max_num_f32=v_max_f32 v_min_num_f32=v_min_f32";

pub(super) const DS: &str = "
    17 - ds_min_num_f32=ds_min_f32 ds_max_num_f32=ds_max_f32
    49 - ds_min_num_rtn_f32=ds_min_rtn_f32 ds_max_num_rtn_f32=ds_max_rtn_f32 -
    81 - ds_min_num_f64=ds_min_f64 ds_max_num_f64=ds_max_f64
    113 - ds_min_num_rtn_f64=ds_min_rtn_f64 ds_max_num_rtn_f64=ds_max_rtn_f64
    173 -";

pub(super) const FLAT: &str = "
    55 flat_atomic_sub_clamp_u32=flat_atomic_csub_u32
    81 flat_atomic_min_num_f32=flat_atomic_min_f32 flat_atomic_max_num_f32=flat_atomic_max_f32";

pub(super) const GLOBAL: &str = "
    55 global_atomic_sub_clamp_u32=global_atomic_csub_u32
    81 global_atomic_min_num_f32=global_atomic_min_f32 global_atomic_max_num_f32=global_atomic_max_f32";

pub(super) const MUBUF: &str = "
    43 - -
    55 buffer_atomic_sub_clamp_u32=buffer_atomic_csub_u32
    81 buffer_atomic_min_num_f32=buffer_atomic_min_f32 buffer_atomic_max_num_f32=buffer_atomic_max_f32";

/// All of them.
#[cfg(test)]
pub(super) const ALL: [&str; 13] = [SOP2, SOPK, SOPP, SMEM, VOP2, VOPC, VOP3, VOP3P, VOPD, DS, FLAT, GLOBAL, MUBUF];
