"""`./pants run bench:faults`: what is lost when parts of Darkroom fail under load."""

from darkroom_bench.faults import main

if __name__ == "__main__":
    main()
