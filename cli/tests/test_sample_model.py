from __future__ import annotations

from awsio import clients
from contracts.ids import new_uid
from darkroom_cli.embedded.models import KEY, remove_sample, seed_models


async def test_sample_model_goes_where_servers_are_real_and_a_real_one_stays(aws: str) -> None:
    bucket = f"models-{new_uid().lower()}"
    async with clients.s3() as s3:

        async def sizes() -> list[int]:
            listed = await s3.list_objects_v2(Bucket=bucket)
            return [each["Size"] for each in listed.get("Contents", ())]

        await s3.create_bucket(Bucket=bucket)
        await seed_models(bucket)
        assert len(await sizes()) == 1
        await remove_sample(bucket)
        assert await sizes() == []

        await s3.put_object(Bucket=bucket, Key=KEY, Body=bytes(1000))
        await seed_models(bucket)
        await remove_sample(bucket)
        assert await sizes() == [1000]
