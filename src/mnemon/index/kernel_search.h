// The search of one head for some queries.

#pragma once

#include "kernel_panels.h"
#include "kernel_ranking.h"

namespace {

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
            for (int i = 0; i < t; ++i) rebound(i);
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
            if (start + j >= end || (on.seen && !on.seen[head * on.seen_head + start + j])) continue;
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
                reach.grow({std::sqrt(double(square)) + 0x1p-62 * std::sqrt(double(d)), 0});
                continue;
            }
#endif
            read_row(on.keys, on.keys_narrow, at, d, wide.data());
            if (on.centre)
                for (int i = 0; i < d; ++i) wide[i] -= on.centre[head * d + i];
            reach.grow(round_row(wide.data(), d, into, FAST && (!on.keys_narrow || on.centre)));
        }
        turn(rows.data(), across, pairs, quarter, to);
        return any;
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
                const uint64_t mask = hits[j] & shown(on, head, first + i + j, start + panel * PANEL, width - panel * PANEL);
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
        if (on.seen || on.valid || width < PANEL) hits &= shown(on, head, first + i, start, width);
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

    void finish(int i) {
        const int64_t out = (head * on.t + first + i) * k;
        on.certified[head * on.t + first + i] = !lost[i];
        if (lost[i]) return;
        sift(i);
        read_row(on.q, on.q_narrow, head * on.q_head + (first + i) * on.q_row, d, wide.data());
        const int32_t *place = places.data() + size_t(i) * room;
        for (int j = 0; j < count[i]; ++j) fetch(on, head, place[j]);
        order.resize(count[i]);
        for (int j = 0; j < count[i]; ++j) order[j] = ranked(exactly(on, head, wide.data(), place[j]), place[j]);
        const int found = std::min(k, count[i]);
        if (count[i] <= SORTED) {
            best_first(order, sorted);
        } else {
            std::partial_sort(order.begin(), order.begin() + found, order.end(), std::greater<int64_t>());
        }
        for (int j = 0; j < k; ++j) {
            on.scores[out + j] = j < found ? score_of(order[j]) : NOTHING;
            on.ids[out + j] = j < found ? INT32_MAX - (order[j] & INT32_MAX) : 0;
        }
    }

    std::vector<int64_t> order, sorted;
    std::vector<Number> sixteen;
    std::vector<int32_t> scratch;
    std::vector<float> held, peaks;
};

}  // namespace
