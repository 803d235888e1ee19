"""`./pants run bench:ingest`: how many submissions one core of ingest takes."""

from darkroom_bench.ingest_load import main

if __name__ == "__main__":
    main()
