// Panels of keys: how they are laid out, and the scores of one for some queries.

#pragma once

#include "kernel_numbers.h"

namespace {

// The scores of a panel for some queries: which of them reach a query's bound; they are stored where any does.
// A query is `pairs` pairs of numbers, a panel that many rows of 64 pairs.
#if FAST
template <int N>
inline bool product(const Number *q, int64_t stride, const Number *panel, int pairs, const float *bound,
                    uint64_t *hits, float (*scores)[PANEL]) {
    __m512 sum[N][4];
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < 4; ++j) sum[i][j] = _mm512_setzero_ps();
    for (int p = 0; p < pairs; ++p) {
        __m512bh key[4];
        for (int j = 0; j < 4; ++j)
            key[j] = (__m512bh)_mm512_loadu_si512(panel + (p * 4 + j) * 32);
        for (int i = 0; i < N; ++i) {
            int32_t pair;
            std::memcpy(&pair, q + i * stride + 2 * p, 4);
            __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
            for (int j = 0; j < 4; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], both, key[j]);
        }
    }
    bool any = false;
    for (int i = 0; i < N; ++i) {
        __m512 least = _mm512_set1_ps(bound[i]);
        uint64_t reached = 0;
        for (int j = 0; j < 4; ++j)
            reached |= uint64_t(_mm512_cmp_ps_mask(sum[i][j], least, _CMP_GE_OQ)) << (16 * j);
        hits[i] = reached;
        if (reached) {
            any = true;
            for (int j = 0; j < 4; ++j) _mm512_storeu_ps(scores[i] + 16 * j, sum[i][j]);
        }
    }
    return any;
}
#else
template <int N>
inline bool product(const Number *q, int64_t stride, const Number *panel, int pairs, const float *bound,
                    uint64_t *hits, float (*scores)[PANEL]) {
    bool any = false;
    for (int i = 0; i < N; ++i) {
        float *sum = scores[i];
        std::fill(sum, sum + PANEL, 0.0f);
        for (int p = 0; p < 2 * pairs; ++p) {
            const Number x = q[i * stride + p], *key = panel + p * PANEL;
            for (int j = 0; j < PANEL; ++j) sum[j] += x * key[j];
        }
        uint64_t reached = 0;
        for (int j = 0; j < PANEL; ++j) reached |= uint64_t(sum[j] >= bound[i]) << j;
        hits[i] = reached;
        any |= reached != 0;
    }
    return any;
}
#endif

#if FAST
// 16 rows of 16 pairs become 16 rows of one pair of each.
inline void transpose(const __m512i *from, Number *to, int64_t stride) {
    __m512i a[16], b[16];
    for (int i = 0; i < 8; ++i) {
        a[2 * i] = _mm512_unpacklo_epi32(from[2 * i], from[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(from[2 * i], from[2 * i + 1]);
    }
    for (int i = 0; i < 4; ++i) {
        b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xDD);
        a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xDD);
    }
    for (int i = 0; i < 4; ++i) {
        _mm512_storeu_si512(to + stride * i, _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88));
        _mm512_storeu_si512(to + stride * (i + 8), _mm512_shuffle_i32x4(a[i], a[i + 8], 0xDD));
        _mm512_storeu_si512(to + stride * (i + 4), _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88));
        _mm512_storeu_si512(to + stride * (i + 12), _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xDD));
    }
}
#endif

// 16 rows of keys, `across` numbers apart, go into a quarter of a panel.
inline void turn(const Number *rows, int64_t across, int pairs, int quarter, Number *to) {
#if FAST
    for (int p = 0; p < pairs; p += 16) {
        __m512i lines[16];
        for (int j = 0; j < 16; ++j) lines[j] = _mm512_loadu_si512(rows + j * across + 2 * p);
        if (pairs - p >= 16) {
            transpose(lines, to + (size_t(p) * 4 + quarter) * 32, 128);
        } else {
            Number turned[512];
            transpose(lines, turned, 32);
            for (int i = 0; i < pairs - p; ++i)
                std::memcpy(to + (size_t(p + i) * 4 + quarter) * 32, turned + 32 * i, 64);
        }
    }
#else
    for (int p = 0; p < 2 * pairs; ++p)
        for (int j = 0; j < 16; ++j) to[p * PANEL + quarter * 16 + j] = rows[j * across + p];
#endif
}

}  // namespace
