"""What people do most, on the newest frontend too: they update it apart from the host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import test_editor as all_nodes
import test_other_editors as others
import test_readout_viewer as viewer
import test_region_arrivals as arrivals
import test_region_canvas as canvas
import test_region_result as result
import test_region_words as words
from editor import Editor

CHECKS: tuple[Callable[[Editor], None], ...] = (
    canvas.test_two_boxes_bound_by_their_words_are_drawn_saved_and_queued,
    canvas.test_keys_of_the_canvas_stay_there,
    canvas.test_words_of_a_workflow_file_show_as_text,
    words.test_phrases_follow_what_is_typed_in_one_step_of_undo,
    result.test_the_last_result_lies_behind_the_regions_and_is_never_an_old_one,
    result.test_the_canvas_takes_its_shape_from_the_latent_and_says_where_a_drawing_does_not_fit,
    arrivals.test_boxes_of_the_hosts_editor_land_where_they_were_drawn,
    others.test_words_that_changed_are_shown_and_weighed,
    others.test_the_words_stand_below_the_targets_and_no_value_changes_its_place,
    others.test_rows_for_experts_are_behind_a_button,
    others.test_a_filled_text_box_keeps_its_name,
    viewer.test_a_phrase_under_the_mouse_and_each_step_have_their_own_map,
    all_nodes.test_the_first_card_of_the_templates_is_the_first_thing_to_try,
    viewer.test_words_of_a_run_show_as_text_and_a_failed_run_says_why,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("test_"))
def test_on_the_newest_frontend(newest: Editor, check: Callable[[Editor], None]) -> None:
    check(newest)
