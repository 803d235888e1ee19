"""`./pants run bench:overhead`: what Darkroom costs besides generation."""

from darkroom_bench.overhead import main

if __name__ == "__main__":
    main()
