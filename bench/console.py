"""`./pants run bench:console`: how soon the console's pages are there."""

from darkroom_bench.console import main

if __name__ == "__main__":
    main()
