// Which scores are the best, and the float32 scores of the keys that they are of.

#pragma once

#include "kernel_numbers.h"

namespace {

// The k-th largest of some numbers, or a little less; -inf where there are fewer. As integers of the same order.
float kth(const float *x, int count, int k, std::vector<int32_t> &order) {
    order.assign((count + 15) / 16 * 16, INT32_MIN);
    const int whole = int(order.size());
    int32_t low = INT32_MAX, high = INT32_MIN, least;
    std::memcpy(&least, &NOTHING, 4);
    least ^= INT32_MAX;
    int said = 0;
    for (int i = 0; i < count; ++i) {
        int32_t bits;
        std::memcpy(&bits, x + i, 4);
        bits ^= (bits >> 31) & INT32_MAX;
        order[i] = bits;
        low = std::min(low, bits > least ? bits : INT32_MAX);
        high = std::max(high, bits);
        said += bits > least;
    }
    if (said < k) return NOTHING;
    for (int step = 0, left = said; step < 14 && left > k + k / 16; ++step) {
        const int32_t middle = int32_t(low + (int64_t(high) - low) / 2);
        int above = 0;
        for (int i = 0; i < whole; ++i) above += order[i] >= middle;
        if (above >= k) {
            low = middle;
            left = above;
        } else {
            high = middle;
        }
    }
    low ^= (low >> 31) & INT32_MAX;
    float found;
    std::memcpy(&found, &low, 4);
    return found;
}

// A float32 score of the true key.
inline float exactly(const Problem &on, int64_t head, const float *query, int64_t key) {
    const int d = int(on.d);
    const int64_t at = head * on.keys_head + key * d;
    const auto *narrow = static_cast<const uint16_t *>(on.keys) + at;
    const auto *full = static_cast<const float *>(on.keys) + at;
    int i = 0;
    float rest = 0;
#if FAST
    __m512 sum = _mm512_setzero_ps();
    for (; i + 16 <= d; i += 16) {
        __m512 x = on.keys_narrow
            ? _mm512_castsi512_ps(_mm512_slli_epi32(
                  _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(narrow + i))), 16))
            : _mm512_loadu_ps(full + i);
        sum = _mm512_fmadd_ps(x, _mm512_loadu_ps(query + i), sum);
    }
    rest = _mm512_reduce_add_ps(sum);
#endif
#pragma omp simd reduction(+ : rest)
    for (int j = i; j < d; ++j) rest += query[j] * (on.keys_narrow ? widened(narrow[j]) : full[j]);
    return rest;
}

inline void fetch(const Problem &on, int64_t head, int64_t key) {
    const int64_t d = on.d;
    const char *row = static_cast<const char *>(on.keys) + (head * on.keys_head + key * d) * (on.keys_narrow ? 2 : 4);
    for (int at = 0; at < d * (on.keys_narrow ? 2 : 4); at += 64) __builtin_prefetch(row + at);
}

// Score and place in one integer: the larger the better, among equals the earlier.
inline int64_t ranked(float score, int32_t place) {
    int32_t bits;
    std::memcpy(&bits, &score, 4);
    bits ^= (bits >> 31) & INT32_MAX;
    return int64_t(bits) << 32 | (INT32_MAX - place);
}

inline float score_of(int64_t rank) {
    int32_t bits = int32_t(rank >> 32);
    bits ^= (bits >> 31) & INT32_MAX;
    float score;
    std::memcpy(&score, &bits, 4);
    return score;
}

// Each goes where as many are better: no branch to be guessed wrongly.
inline void best_first(std::vector<int64_t> &order, std::vector<int64_t> &sorted) {
    const int all = int(order.size());
    sorted.resize(all);
    for (int i = 0; i < all; ++i) {
        int64_t better = 0;
        for (int j = 0; j < all; ++j) better += order[j] > order[i];
        sorted[better] = order[i];
    }
    order.swap(sorted);
}

}  // namespace
