from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import new_uid
from contracts.kinds import TaskType
from queue_agent.domain import Job, RuntimeBrokenError, TaskFailedError
from queue_agent.task.evidence import Evidence, broken_device

ODD = "node 4 (KSampler): RuntimeError: Expected all tensors on one device, found 2"


def job(content: dict[str, object], tasktype: TaskType = TaskType.TEXT_TO_IMAGE) -> Job:
    return Job(uid=new_uid(), attempt=1, tasktype=tasktype, content=content)


def failure(message: str, code: str = "runtime_error") -> TaskFailedError:
    return TaskFailedError(message, code=code)


@pytest.mark.parametrize(
    "said",
    [
        "RuntimeError: CUDA error: an illegal memory access was encountered\nCUDA kernel",
        "node 3 (KSampler): torch.AcceleratorError: CUDA error: device-side assert triggered",
        "RuntimeError: CUDA error: unspecified launch failure",
        "RuntimeError: HIP error: unspecified launch failure",
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "RuntimeError: CUDA error: misaligned address",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "RuntimeError: CUDA error: unknown error",
        "RuntimeError: No CUDA GPUs are available",
        "Triton Error [CUDA]: an illegal memory access was encountered",
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
        "RuntimeError: cuda runtime error (719) : unspecified launch failure at THCCache.cu",
        "RuntimeError: miopenStatusUnknownError",
        "RuntimeError: level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)",
    ],
)
def test_error_after_which_a_process_can_do_no_more_breaks_the_runtime(said: str) -> None:
    with pytest.raises(RuntimeBrokenError, match="device"):
        Evidence().weigh(job({}), failure(said))


@pytest.mark.parametrize(
    "said",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "torch.AcceleratorError: CUDA error: out of memory",
        "RuntimeError: HIP out of memory. Tried to allocate 20 MiB",
        "RuntimeError: CUDA error: invalid configuration argument",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (77x768 and 1024x320)",
        "ValueError: cannot read image",
    ],
)
def test_error_of_what_was_asked_for_is_the_tasks(said: str) -> None:
    assert broken_device(said) is None
    Evidence().weigh(job({}), failure(said))


def test_refusal_is_never_evidence_whatever_it_repeats_of_a_prompt() -> None:
    said = "prompt: CUDA error: an illegal memory access was encountered"

    Evidence().weigh(job({}), failure(said, "runtime_rejected"))


def test_unlike_tasks_that_fail_alike_in_a_row_accuse_the_runtime() -> None:
    evidence = Evidence()
    evidence.weigh(job({"prompt": "a dog"}), failure(ODD))
    evidence.weigh(job({"prompt": "a cat", "steps": 3}), failure(ODD.replace("4", "17")))

    with pytest.raises(RuntimeBrokenError, match="3 unlike tasks"):
        evidence.weigh(job({"prompt": "a cow"}), failure(ODD))


def test_one_task_with_other_numbers_is_no_evidence_however_often_it_fails() -> None:
    evidence = Evidence()

    for seed in range(20):
        evidence.weigh(job({"prompt": "a dog", "seed": seed}), failure(ODD))


def test_run_that_goes_well_in_between_acquits_the_runtime() -> None:
    evidence = Evidence()

    for animal in ("dog", "cat", "cow", "hen", "pig"):
        evidence.weigh(job({"prompt": animal}), failure(ODD))
        evidence.clear()


def test_different_words_are_different_failures() -> None:
    evidence = Evidence()

    for animal in ("dog", "cat", "cow", "hen", "pig"):
        evidence.weigh(job({"prompt": animal}), failure(f"ValueError: no {animal}"))


def test_what_a_restart_did_not_mend_is_the_tasks_until_a_run_goes_well() -> None:
    evidence = Evidence()

    def weigh_three() -> None:
        for animal in ("dog", "cat", "cow"):
            evidence.weigh(job({"prompt": animal}), failure(ODD))

    with pytest.raises(RuntimeBrokenError):
        weigh_three()
    weigh_three()
    weigh_three()
    evidence.clear()
    with pytest.raises(RuntimeBrokenError):
        weigh_three()


@given(st.text())
def test_any_words_are_weighed(said: str) -> None:
    try:
        Evidence().weigh(job({"prompt": said}), failure(said))
    except RuntimeBrokenError:
        assert broken_device(said)
