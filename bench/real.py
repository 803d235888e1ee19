"""`./pants run bench:real`: how busy a real server is kept, beside its own queue."""

from darkroom_bench.real import main

if __name__ == "__main__":
    main()
