"""`./pants run bench:gpu_idle`: how long a runtime waits for the agent between two images."""

from darkroom_bench.gpu_idle import main

if __name__ == "__main__":
    main()
