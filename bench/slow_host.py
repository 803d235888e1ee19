"""`./pants run bench:slow_host`: how long a host that hangs delays webhooks of another."""

from darkroom_bench.slow_host import main

if __name__ == "__main__":
    main()
