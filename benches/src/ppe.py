# The reference in another language: ProcessPoolExecutor with two workers. Reads commands, answers each with a number.
import multiprocessing, statistics, sys, time
from concurrent.futures import ProcessPoolExecutor


def echo(value):
    return value


def burst(pool, n):
    """Tasks per second, submitted one by one, all results awaited."""
    start = time.perf_counter()
    for future in [pool.submit(echo, i) for i in range(n)]:
        future.result()
    return n / (time.perf_counter() - start)


def mapped(pool, n):
    """Tasks per second through map in chunks of 100."""
    start = time.perf_counter()
    count = sum(1 for _ in pool.map(echo, range(n), chunksize=100))
    assert count == n
    return n / (time.perf_counter() - start)


def trip(pool, n):
    """Median microseconds of one task, submitted and awaited before the next."""
    times = []
    for i in range(n):
        start = time.perf_counter()
        pool.submit(echo, i).result()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def load(pool, n):
    """MiB per second of payloads of 1 MiB that go in and come out (each counted once)."""
    payloads = [bytes([i % 256]) * (1 << 20) for i in range(n)]
    start = time.perf_counter()
    for future in [pool.submit(echo, payload) for payload in payloads]:
        assert len(future.result()) == 1 << 20
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    # Forked, so that the workers find `echo` in a program that has no file.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(echo, range(1000), chunksize=10))
        print("ready", flush=True)
        for line in sys.stdin:
            name, n = line.split()
            print(globals()[name](pool, int(n)), flush=True)
