// Exact search of the k best keys by inner product, without ever holding the scores: see kernel.py for what is promised.
//
// Keys are taken in panels of 64, rounded to bfloat16 where the CPU multiplies such numbers, laid out so that one
// instruction adds two products to 16 scores. A panel's scores stay in registers; only those that reach a query's
// bound are noted down. The bound is a lower bound of its k-th best score so far, less twice what rounding may do
// (`margin`, as in bounds.py). At last what was noted down is scored again in float32.
#include "kernel_search.h"

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
