//! The kernels that a model needs, loaded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rocmforge_program::backend::BackendError;
use rocmforge_quant::GgmlType;

use super::modules;
use crate::error::Failure;
use crate::library::Kernels;
use crate::ops::{Embed, Gate, Gemm, GemmForm, GroupPairs, Maps, Matvec, Norm, Route, Sample};

/// Every kernel of a model.
pub(crate) struct Tools {
    pub norm: Norm,
    pub gate: Gate,
    pub maps: Maps,
    pub route: Route,
    pub sample: Sample,
    pub group: GroupPairs,
    embed: BTreeMap<u32, Embed>,
    matvec: BTreeMap<u32, Matvec>,
    gemm: Vec<(GgmlType, Gemm)>,
    is_exact: bool,
}

impl Tools {
    /// Loads what ops over these matrices take: their types and lengths of rows.
    pub fn load(kernels: &Kernels, matrices: &[(GgmlType, usize)], is_exact: bool) -> Result<Self, Failure> {
        kernels.compile_ahead(&modules::of_model(matrices, is_exact))?;
        let mut embed = BTreeMap::new();
        let mut matvec = BTreeMap::new();
        let mut gemm: Vec<(GgmlType, Gemm)> = Vec::new();
        for &(ty, cols) in matrices {
            let form = gemm_form(ty, cols, is_exact);
            if !gemm.iter().any(|(of, gemm)| *of == ty && gemm.form() == form) {
                gemm.push((ty, Gemm::load(kernels, ty, form)?));
            }
            if let Entry::Vacant(entry) = matvec.entry(ty.id()) {
                entry.insert(if is_exact { Matvec::load_exact(kernels, ty)? } else { Matvec::load(kernels, ty)? });
                embed.insert(ty.id(), Embed::load(kernels, ty)?);
            }
        }
        Ok(Self {
            norm: Norm::load(kernels)?,
            gate: Gate::load(kernels)?,
            maps: Maps::load(kernels)?,
            route: Route::load(kernels)?,
            sample: Sample::load(kernels)?,
            group: GroupPairs::load(kernels)?,
            embed,
            matvec,
            gemm,
            is_exact,
        })
    }

    /// Rows of tables.
    pub fn embed(&self, ty: GgmlType) -> Result<&Embed, BackendError> {
        self.embed.get(&ty.id()).ok_or_else(|| unplanned(ty))
    }

    /// Products of a few rows.
    pub fn matvec(&self, ty: GgmlType) -> Result<&Matvec, BackendError> {
        self.matvec.get(&ty.id()).ok_or_else(|| unplanned(ty))
    }

    /// Products of many rows of `cols` columns.
    pub fn gemm(&self, ty: GgmlType, cols: usize) -> Result<&Gemm, BackendError> {
        let form = gemm_form(ty, cols, self.is_exact);
        let found = self.gemm.iter().find(|(of, gemm)| *of == ty && gemm.form() == form);
        found.map(|(_, gemm)| gemm).ok_or_else(|| unplanned(ty))
    }
}

/// What the rows of products with such a matrix are stored as.
pub(super) fn gemm_form(ty: GgmlType, cols: usize, is_exact: bool) -> GemmForm {
    if is_exact { GemmForm::F32 } else { GemmForm::of(ty, cols) }
}

fn unplanned(ty: GgmlType) -> BackendError {
    BackendError::UnknownId(format!("kernels for {}", ty.name()))
}
