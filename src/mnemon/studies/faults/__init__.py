from mnemon.studies.faults.bench import COUNT, bench_faults

__all__ = ["COUNT", "bench_faults"]
