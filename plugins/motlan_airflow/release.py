"""A publication that is held back, among Airflow's required actions: the numbers that hold it, and people who let it go.

Who answers in Airflow is known to the bus by the same name (`motlan people`); nobody counts twice, wherever they decide.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan_airflow.steps import call_pipeline, named_run

APPROVE, REFUSE = "Cho công bố / Approve", "Từ chối / Refuse"
LOOK_AGAIN = timedelta(hours=1)
"""After so long without an answer it is looked whether people released or refused the publication elsewhere."""


class ReleaseOperator(HITLOperator):
    """Asks people to release a publication until enough of them did, or one refused it.

    It succeeds with the run's id when the run is released, here or by `motlan release`; else it is skipped.

    Args:
        held: The asset whose newest event names the run.
        entity: The linked entity.
        kwargs: As of every operator.
    """

    def __init__(self, *, held: Any, entity: str, **kwargs: Any) -> None:
        self.held, self.entity = held, entity
        super().__init__(
            subject=f"{entity}: công bố đang chờ / a publication waits",
            body="",
            options=[APPROVE, REFUSE],
            params={"reason": Param("", type="string", title="Lý do / Reason")},
            response_timeout=LOOK_AGAIN,
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Ask, where the run still waits."""
        run = self._run(context)
        found = call_pipeline("waits", run, entity=self.entity)
        if "needed" not in found:
            return self._end(context, found["run"])
        self.body = describe(found)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Write down an answer, and ask the next person where more have to agree."""
        run = self._run(context)
        if "error" not in event:
            name = (event["responded_by_user"] or {}).get("name") or (event["responded_by_user"] or {}).get("id") or ""
            action = "approve" if event["chosen_options"] == [APPROVE] else "refuse"
            try:
                why = str((event["params_input"] or {}).get("reason", ""))
                state = call_pipeline("decide", run, name, action, why)["state"]
                self.log.info("Run %s: %s; it is %s.", run, action, state)
            except (AccessError, ConfigurationError, ContractError) as refusal:
                self.log.warning("The answer does not count: %s", refusal)
        return self.execute(context)

    def _run(self, context: Any) -> str | None:
        """Return the run that was held back when this task first looked: later tries ask about the same."""
        ti = context["ti"]
        run = ti.xcom_pull(task_ids=ti.task_id, key="run") or named_run(context["triggering_asset_events"], self.held)
        if run:
            ti.xcom_push(key="run", value=run)
        return run

    def _end(self, context: Any, run: str) -> str:
        if not call_pipeline("may_publish", run)["released"]:
            raise AirflowSkipException(
                f"Run {run} waits for nobody any more: it was refused, or others were published."
            )
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"run": run}
        return run


def describe(found: dict[str, Any]) -> str:
    """Return what people read before they decide: the limits that are passed, by register and area. Numbers only."""
    lines = [
        # Airflow shows the next person the same text, so it must stay true.
        f"Lượt `{found['run']}` thay đổi nhiều hơn giới hạn cho phép: cần {found['needed']} người đồng ý. "
        f"/ Run `{found['run']}` changes more than the limits allow: {found['needed']} people have to approve. "
        f"`motlan release show {found['run']}`",
        "",
        "| thay đổi / measure | cơ quan / register | khu vực / area | số đổi / changed | của / of | tỷ lệ / share | "
        "giới hạn / limit |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in found["passed"]:
        share = row["changed"] / max(row["known"], 1)
        lines.append(
            f"| {row['measure']} | {row['source']} | {row['area'] or 'cả nước / all'} | {row['changed']:,} | "
            f"{row['known']:,} | {share:.2%} | {row['limit']:.2%} |"
        )
    return "\n".join(lines)
