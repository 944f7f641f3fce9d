"""Bytes of images in hand: bounded, and no tenant waits for another's."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.images.in_hand import MIB, USUAL_BYTES, Hand, InHand, TooMuchInHand

MOST = 16 * MIB
FITTING = MOST // USUAL_BYTES


async def begin(stack: AsyncExitStack, hands: InHand, tenant: str, count: int) -> list[Hand]:
    """So many images of a tenant, each held until its task is cancelled."""

    async def hold() -> None:
        async with hands.of(tenant) as hand:
            begun.append(hand)
            await asyncio.Event().wait()

    begun: list[Hand] = []
    tasks = [asyncio.create_task(hold()) for _ in range(count)]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(end)
    await asyncio.sleep(0.01)
    return begun


async def test_a_tenant_begins_no_more_than_there_is_room_for_and_another_one_begins_at_once() -> None:
    """What waits begins when something is stored, or given up."""
    hands = InHand(MOST)
    async with AsyncExitStack() as stack, AsyncExitStack() as loud:
        begun = await begin(loud, hands, "loud", 3 * FITTING)
        assert len(begun) == FITTING
        assert len(await begin(stack, hands, "quiet", 2)) == 2
        assert len(await begin(stack, hands, "loud", 1)) == 0
        await loud.aclose()
        others = 3  # its own two, and the one of loud that has waited
        assert len(await begin(stack, hands, "quiet", FITTING)) == FITTING - others


async def test_images_that_turn_out_large_are_given_up_if_their_tenant_has_its_share() -> None:
    """And those of another one go on."""
    hands = InHand(MOST)
    async with AsyncExitStack() as stack:
        loud = await begin(stack, hands, "loud", FITTING)
        (quiet,) = await begin(stack, hands, "quiet", 1)
        with pytest.raises(TooMuchInHand):
            for _ in range(100):
                for hand in loud:
                    hand.take(MIB)
        assert sum(hand.counted for hand in loud) <= 2 * MOST
        for _ in range(4):
            quiet.take(MIB)
        assert quiet.counted == 4 * MIB


async def test_all_that_was_counted_is_taken_back() -> None:
    """However an image ended: stored, given up, or cancelled while it waited."""
    hands = InHand(MOST)
    async with AsyncExitStack() as stack:
        begun = await begin(stack, hands, "loud", 2 * FITTING)
        begun[0].take(5 * MIB)
    async with AsyncExitStack() as stack:
        assert len(await begin(stack, hands, "loud", 2 * FITTING)) == FITTING
