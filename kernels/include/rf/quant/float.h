// rf/quant/float.h: matrices of plain floats: one plane of elements, row by row.
//
// A decoder of floats has
//   Element          what is stored
//   FIELDS           bytes of an element
//   VECTOR           elements of 16 bytes: rows whose length is a multiple of it can be loaded so
//   unpack(v, i)     element i of 16 loaded bytes, widened
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

RF_INLINE u32 word_of(u32x4 v, u32 i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Element i of a plane, widened.
template <class T> RF_INLINE float load_float(const Planes& w, u64 i) {
    return to_f32(reinterpret_cast<const typename T::Element*>(w.p[0])[i]);
}

}  // namespace rf
