// The problem, its numbers, and how far a product of rounded ones may stray.

#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>
#include <vector>
#if !defined(MNEMON_GENERIC) && defined(__AVX512BF16__) && defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>
#define FAST 1
#else
#define FAST 0
#endif

namespace {

constexpr int PANEL = 64;   // keys whose scores are in registers at once
constexpr int BLOCK = 1024;  // keys that are laid out at once: they stay in a core's cache
constexpr int QUERIES = 6;  // scored together
constexpr int SORTED = 128;  // candidates sorted by counting
constexpr int CHUNK = 512;  // queries of one task
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

struct Problem {
    const void *q, *keys;        // [n t d] and [n m d], the d numbers of a vector side by side
    const uint8_t *seen;         // [n m]: whether any query may see a key, or null for all
    const uint8_t *valid;        // [n t m]: whether this query may, or null where all may alike
    const float *centre;         // [n d], taken away from every key first, or null
    float *scores;               // [n t k]
    int64_t *ids;                // [n t k]
    uint8_t *certified;          // [n t]
    int64_t n, t, m, d, k, limit;
    int64_t q_head, q_row, keys_head, seen_head, valid_head, valid_row;  // strides
    int32_t q_narrow, keys_narrow, threads;                              // bfloat16 or float32
};

inline float widened(uint16_t bits) {
    uint32_t wide = uint32_t(bits) << 16;
    float x;
    std::memcpy(&x, &wide, 4);
    return x;
}

inline uint16_t narrowed(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FC0;
    return uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// Which of up to 64 keys from `start` a query may see.
inline uint64_t shown(const Problem &on, int64_t head, int64_t query, int64_t start, int width) {
    const int many = std::min(width, 64);
    uint64_t mask = many == 64 ? ~uint64_t(0) : (uint64_t(1) << many) - 1;
    const uint8_t *bytes = on.valid ? on.valid + head * on.valid_head + query * on.valid_row + start
                                    : (on.seen ? on.seen + head * on.seen_head + start : nullptr);
    if (!bytes) return mask;
    for (int j = 0; j < many; ++j)
        if (!bytes[j]) mask &= ~(uint64_t(1) << j);
    return mask;
}

void read_row(const void *from, bool narrow, int64_t at, int d, float *to) {
    if (narrow) {
        const uint16_t *row = static_cast<const uint16_t *>(from) + at;
        for (int i = 0; i < d; ++i) to[i] = widened(row[i]);
    } else {
        std::memcpy(to, static_cast<const float *>(from) + at, sizeof(float) * d);
    }
}

// The lengths of a vector after rounding and of what rounding took away.
struct Reach {
    double length = 0, lost = 0;

    void grow(const Reach &of) {  // a length that is no number stays
        if (of.length > length || of.length != of.length) length = of.length;
        if (of.lost > lost || of.lost != of.lost) lost = of.lost;
    }
};

#if FAST
using Number = uint16_t;
inline Number kept(float x) { return narrowed(x); }
inline float plain(Number x) { return widened(x); }
#else
using Number = float;
inline Number kept(float x) { return x; }
inline float plain(Number x) { return x; }
#endif

Reach round_row(const float *x, int d, Number *to, bool rounds) {
    float length = 0, lost = 0;
#pragma omp simd reduction(+ : length, lost)
    for (int i = 0; i < d; ++i) {
        to[i] = kept(x[i]);
        float y = plain(to[i]), r = x[i] - y;
        length += y * y;
        lost += r * r;
    }
    // Squares below the normal numbers may have counted as zero.
    const double tiny = 0x1p-62 * std::sqrt(double(d));
    return {std::sqrt(double(length)) + tiny, rounds ? std::sqrt(double(lost)) + tiny : 0};
}

double margin(const Reach &q, const Reach &keys, double shift, int d) {
    double rounded = q.lost * (keys.length + keys.lost) + q.length * keys.lost;
    double added = 4.0 * (d + 2) * 0x1p-24 * (q.length + q.lost) * (keys.length + keys.lost + shift);
    double tiny = 0x1p-126 * (2 * d + 2) * (1 + q.length + keys.length);
    const bool overflows = !((q.length + q.lost) * (keys.length + keys.lost + shift) < 0x1p126);
    return overflows ? std::numeric_limits<double>::infinity() : 1.001 * (rounded + added + tiny);
}

}  // namespace
