// Exact search of the k best keys by inner product, without ever holding the scores: see kernel.py for what is promised.
//
// Keys are taken in panels of 64, rounded to bfloat16 where the CPU multiplies such numbers, laid out so that one
// instruction adds two products to 16 scores. A panel's scores stay in registers; only those that reach a query's
// bound are noted down. The bound is a lower bound of its k-th best score so far, less twice what rounding may do
// (`margin`, as in bounds.py). At last what was noted down is scored again in float32.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#if defined(__AVX512BF16__) && defined(__AVX512F__) && defined(__AVX512BW__)
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

void read_row(const void *from, bool narrow, int64_t at, int d, float *to) {
    if (narrow) {
        const uint16_t *row = static_cast<const uint16_t *>(from) + at;
        for (int i = 0; i < d; ++i) to[i] = widened(row[i]);
    } else {
        std::memcpy(to, static_cast<const float *>(from) + at, sizeof(float) * d);
    }
}

// The lengths of a vector after rounding and of what rounding took away.
struct Reach { double length = 0, lost = 0; };

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

class Search {
  public:
    explicit Search(const Problem &problem)
        : on(problem), d(int(problem.d)), k(int(problem.k)), pairs((d + 1) / 2), room(int(problem.limit) + PANEL),
          panels(size_t(BLOCK) * 2 * pairs), wide(d) {}

    // Search for queries `from` to `to` of a head. What was allocated for others is used again.
    void run(int64_t of, int64_t from, int64_t to) {
        head = of;
        first = from;
        t = int(to - from);
        queries.assign(size_t(t) * 2 * pairs, Number(0));
        asked.resize(t);
        best.assign(t, NOTHING);
        bound.assign(t, NOTHING);
        count.assign(t, 0);
        lost.assign(t, 0);
        noted.resize(size_t(t) * room);
        places.resize(size_t(t) * room);
        reach = Reach();
        shift = 0;
        for (int i = 0; i < t; ++i) {
            read_row(on.q, on.q_narrow, head * on.q_head + (first + i) * on.q_row, d, wide.data());
            asked[i] = round_row(wide.data(), d, queries.data() + size_t(i) * 2 * pairs,
                                 FAST && !on.q_narrow);
        }
        if (on.centre) {
            double square = 0;
            for (int i = 0; i < d; ++i) square += double(on.centre[head * d + i]) * on.centre[head * d + i];
            shift = std::sqrt(square);
        }
        search();
    }

  private:
    void search() {
        bool begun = false;
        for (int64_t start = 0; start < on.m; start += BLOCK) {
            int width = int(std::min<int64_t>(BLOCK, on.m - start));
            if (!lay_out(start, width)) continue;
            rebound();
            if (!begun) {
                begin(start, width);
                begun = true;
                continue;
            }
            for (int panel = 0; panel * PANEL < width; ++panel) look(start, width, panel);
        }
        for (int i = 0; i < t; ++i) finish(i);
    }

    const Problem &on;
    int64_t head = 0, first = 0;
    const int d, k, pairs, room;
    int t = 0;
    std::vector<Number> queries;
    std::vector<Reach> asked;
    std::vector<Number> panels;
    std::vector<float> wide;
    std::vector<float> best, bound;  // a lower bound of the k-th best score so far; what may still be among the best
    std::vector<int> count;
    std::vector<uint8_t> lost;
    std::vector<float> noted;
    std::vector<int32_t> places;
    Reach reach;
    double shift = 0;

    bool visible(int64_t key) const { return !on.seen || on.seen[head * on.seen_head + key]; }

    uint64_t shown(int query, int64_t start, int width) const {
        uint64_t mask = width >= PANEL ? ~uint64_t(0) : (uint64_t(1) << width) - 1;
        const uint8_t *bytes = on.valid ? on.valid + head * on.valid_head + (first + query) * on.valid_row + start
                                        : (on.seen ? on.seen + head * on.seen_head + start : nullptr);
        if (!bytes) return mask;
        for (int j = 0; j < std::min(width, PANEL); ++j)
            if (!bytes[j]) mask &= ~(uint64_t(1) << j);
        return mask;
    }

    // Round keys and lay them out in panels; false where nobody may see any of them.
    bool lay_out(int64_t start, int width) {
        bool any = false;
        for (int panel = 0; panel * PANEL < width; ++panel)
            for (int quarter = 0; quarter < 4; ++quarter) {
                Number *to = panels.data() + size_t(panel) * PANEL * 2 * pairs;
                any |= lay_out_16(start + panel * PANEL + quarter * 16, start + width, to, quarter);
            }
        return any;
    }

    bool lay_out_16(int64_t start, int64_t end, Number *to, int quarter) {
        bool any = false;
        std::vector<Number> &rows = sixteen;
        const int64_t across = (int64_t(2 * pairs) + 31) / 32 * 32;
        rows.assign(size_t(16 * across), Number(0));
        for (int j = 0; j < 16; ++j) {
            if (start + j >= end || !visible(start + j)) continue;
            any = true;
            const int64_t at = head * on.keys_head + (start + j) * d;
            Number *into = rows.data() + j * across;
#if FAST
            if (on.keys_narrow && !on.centre) {  // nothing is rounded
                const uint16_t *from = static_cast<const uint16_t *>(on.keys) + at;
                std::memcpy(into, from, sizeof(Number) * d);
                float square = 0;
#pragma omp simd reduction(+ : square)
                for (int i = 0; i < d; ++i) square += widened(from[i]) * widened(from[i]);
                grow({std::sqrt(double(square)) + 0x1p-62 * std::sqrt(double(d)), 0});
                continue;
            }
#endif
            read_row(on.keys, on.keys_narrow, at, d, wide.data());
            if (on.centre)
                for (int i = 0; i < d; ++i) wide[i] -= on.centre[head * d + i];
            grow(round_row(wide.data(), d, into, FAST && (!on.keys_narrow || on.centre)));
        }
#if FAST
        for (int p = 0; p < pairs; p += 16) {
            __m512i lines[16];
            for (int j = 0; j < 16; ++j) lines[j] = _mm512_loadu_si512(rows.data() + j * across + 2 * p);
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
        return any;
    }

    void grow(Reach of) {  // a length that is no number stays
        if (of.length > reach.length || of.length != of.length) reach.length = of.length;
        if (of.lost > reach.lost || of.lost != of.lost) reach.lost = of.lost;
    }

    void rebound() {
        for (int i = 0; i < t; ++i) rebound(i);
    }

    void rebound(int i) {
        double apart = margin(asked[i], reach, shift, d);
        if (!std::isfinite(apart)) give_up(i);
        if (lost[i]) return;
        double least = double(best[i]) - 2 * apart;
        bound[i] = std::nextafter(float(least), NOTHING);
    }

    void give_up(int i) {
        lost[i] = 1;
        bound[i] = std::numeric_limits<float>::infinity();
        count[i] = 0;
    }

    // The first block: its scores are held, for a first bound from the best scores of its buckets.
    template <int N>
    void begin(int i, int64_t start, int width) {
        const int buckets = k <= PANEL / 2 ? PANEL : BLOCK;
        float none[N];
        uint64_t hits[N];
        std::fill(none, none + N, NOTHING);
        held.resize(size_t(N) * BLOCK);
        peaks.assign(size_t(N) * buckets, NOTHING);
        const int all = (width + PANEL - 1) / PANEL;
        for (int panel = 0; panel < all; ++panel) {
            float(*scores)[PANEL] = reinterpret_cast<float(*)[PANEL]>(held.data() + size_t(panel) * N * PANEL);
            const Number *of = panels.data() + size_t(panel) * PANEL * 2 * pairs;
            std::fill(scores[0], scores[0] + N * PANEL, NOTHING);  // where a score is no number
            product<N>(queries.data() + size_t(i) * 2 * pairs, 2 * pairs, of, pairs, none, hits, scores);
            for (int j = 0; j < N; ++j) {
                const uint64_t mask = hits[j] & shown(i + j, start + panel * PANEL, width - panel * PANEL);
                if (mask != ~uint64_t(0))
                    for (int l = 0; l < PANEL; ++l) scores[j][l] = mask >> l & 1 ? scores[j][l] : NOTHING;
                float *into = peaks.data() + j * buckets + (panel * PANEL) % buckets;
                for (int l = 0; l < PANEL; ++l) into[l] = into[l] > scores[j][l] ? into[l] : scores[j][l];
            }
        }
        for (int j = 0; j < N; ++j) {
            best[i + j] = kth(peaks.data() + j * buckets, buckets, k, scratch);
            rebound(i + j);
            for (int panel = 0; panel < all && !lost[i + j]; ++panel) {
                const float *scores = held.data() + (size_t(panel) * N + j) * PANEL;
                uint64_t reached = 0;
                for (int l = 0; l < PANEL; ++l) reached |= uint64_t(scores[l] >= bound[i + j]) << l;
                if (reached) note(i + j, start + panel * PANEL, width - panel * PANEL, reached, scores);
            }
        }
    }

    void begin(int64_t start, int width) {
        int i = 0;
        for (; i + QUERIES <= t; i += QUERIES) begin<QUERIES>(i, start, width);
        for (; i < t; ++i) begin<1>(i, start, width);
    }

    void look(int64_t start, int width, int panel) {
        int i = 0;
        for (; i + QUERIES <= t; i += QUERIES) look_at<QUERIES>(i, start, width, panel);
        for (; i + 2 <= t; i += 2) look_at<2>(i, start, width, panel);
        for (; i < t; ++i) look_at<1>(i, start, width, panel);
    }

    template <int N>
    void look_at(int i, int64_t start, int width, int panel) {
        uint64_t hits[N];
        float scores[N][PANEL];
        const Number *of = panels.data() + size_t(panel) * PANEL * 2 * pairs;
        if (!product<N>(queries.data() + size_t(i) * 2 * pairs, 2 * pairs, of, pairs, &bound[i], hits, scores)) return;
        for (int j = 0; j < N; ++j)
            if (hits[j]) note(i + j, start + panel * PANEL, width - panel * PANEL, hits[j], scores[j]);
    }

    void note(int i, int64_t start, int width, uint64_t hits, const float *scores) {
        if (on.seen || on.valid || width < PANEL) hits &= shown(i, start, width);
        float *score = noted.data() + size_t(i) * room;
        int32_t *place = places.data() + size_t(i) * room;
        int at = count[i];
        for (; hits; hits &= hits - 1) {
            int j = __builtin_ctzll(hits);
            score[at] = scores[j];
            place[at++] = int32_t(start + j);
        }
        count[i] = at;
        if (at > std::min(room - PANEL, std::max(3 * k, PANEL))) sift(i);
    }

    // Raise the bound and drop what no longer reaches it.
    void sift(int i) {
        float *score = noted.data() + size_t(i) * room;
        int32_t *place = places.data() + size_t(i) * room;
        best[i] = std::max(best[i], kth(score, count[i], k, scratch));
        rebound(i);
        int kept = 0;
        for (int j = 0; j < count[i]; ++j) {
            score[kept] = score[j];
            place[kept] = place[j];
            kept += score[j] >= bound[i];
        }
        count[i] = kept;
        if (kept > room - PANEL) give_up(i);
    }

    float exactly(const float *query, int64_t key) const {
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

    void finish(int i) {
        const int64_t out = (head * on.t + first + i) * k;
        on.certified[head * on.t + first + i] = !lost[i];
        if (lost[i]) return;
        sift(i);
        read_row(on.q, on.q_narrow, head * on.q_head + (first + i) * on.q_row, d, wide.data());
        const int32_t *place = places.data() + size_t(i) * room;
        for (int j = 0; j < count[i]; ++j) fetch(place[j]);
        order.resize(count[i]);
        for (int j = 0; j < count[i]; ++j) order[j] = ranked(exactly(wide.data(), place[j]), place[j]);
        const int found = std::min(k, count[i]);
        if (count[i] <= SORTED) {
            best_first();
        } else {
            std::partial_sort(order.begin(), order.begin() + found, order.end(), std::greater<int64_t>());
        }
        for (int j = 0; j < k; ++j) {
            on.scores[out + j] = j < found ? score_of(order[j]) : NOTHING;
            on.ids[out + j] = j < found ? INT32_MAX - (order[j] & INT32_MAX) : 0;
        }
    }

    void fetch(int64_t key) const {
        const char *row = static_cast<const char *>(on.keys) + (head * on.keys_head + key * d) * (on.keys_narrow ? 2 : 4);
        for (int at = 0; at < d * (on.keys_narrow ? 2 : 4); at += 64) __builtin_prefetch(row + at);
    }

    // Score and place in one integer: the larger the better, among equals the earlier.
    static int64_t ranked(float score, int32_t place) {
        int32_t bits;
        std::memcpy(&bits, &score, 4);
        bits ^= (bits >> 31) & INT32_MAX;
        return int64_t(bits) << 32 | (INT32_MAX - place);
    }

    static float score_of(int64_t rank) {
        int32_t bits = int32_t(rank >> 32);
        bits ^= (bits >> 31) & INT32_MAX;
        float score;
        std::memcpy(&score, &bits, 4);
        return score;
    }

    // Each goes where as many are better: no branch to be guessed wrongly.
    void best_first() {
        const int all = int(order.size());
        sorted.resize(all);
        for (int i = 0; i < all; ++i) {
            int64_t better = 0;
            for (int j = 0; j < all; ++j) better += order[j] > order[i];
            sorted[better] = order[i];
        }
        order.swap(sorted);
    }

    std::vector<int64_t> order, sorted;
    std::vector<Number> sixteen;
    std::vector<int32_t> scratch;
    std::vector<float> held, peaks;
};

}  // namespace

extern "C" {

int32_t mnemon_rounds() { return FAST; }

void mnemon_search(const Problem *problem) {
    const int64_t chunks = (problem->t + CHUNK - 1) / CHUNK, tasks = problem->n * chunks;
    std::atomic<int64_t> next{0};
    auto work = [&] {
        Search search(*problem);
        for (int64_t task; (task = next++) < tasks;) {
            const int64_t first = task % chunks * CHUNK;
            search.run(task / chunks, first, std::min(problem->t, first + CHUNK));
        }
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < std::min<int64_t>(problem->threads, tasks); ++i) others.emplace_back(work);
    work();
    for (auto &each : others) each.join();
}
}
