// rf/quant/quant.h: the decoder that a module is compiled for, as `Type`. RF_TYPE names it (Q4_0) and RF_TYPE_HEADER is
// its file ("rf/quant/q4_0.h").
#pragma once

#include RF_TYPE_HEADER

namespace rf {

using Type = RF_TYPE;

// Plain floats have a block of one weight and no Chunk.
constexpr bool TYPE_IS_FLOAT = Type::BLOCK == 1;

}  // namespace rf
