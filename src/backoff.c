#include "backoff.h"

#include <sys/random.h>

bool
backoff_rests(const struct backoff *backoff)
{
	return backoff->until_us != 0;
}

enum backoff_turn
backoff_turn(struct backoff *backoff, int64_t now_us)
{
	if (!backoff_rests(backoff))
		return BACKOFF_ASK;
	if (backoff->on_trial || now_us < backoff->until_us)
		return BACKOFF_LEAVE;
	backoff->on_trial = true;
	return BACKOFF_TRY;
}

bool
backoff_answered(struct backoff *backoff)
{
	bool is_news = backoff->is_said;

	*backoff = (struct backoff){ 0 };
	return is_news;
}

/* From three quarters to five quarters of it. */
static int64_t
rest_us(const struct backoff *backoff, const struct backoff_pace *pace)
{
	int64_t rest = pace->first_us;
	uint16_t dice = 0;

	for (unsigned i = 1; i < backoff->rests && rest < pace->most_us; i++)
		rest *= 2;
	if (rest > pace->most_us)
		rest = pace->most_us;
	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) < 0)
		dice = UINT16_MAX / 2;
	return rest * 3 / 4 + rest / 2 * dice / UINT16_MAX;
}

bool
backoff_failed(struct backoff *backoff, const struct backoff_pace *pace, bool tried,
               int64_t now_us)
{
	bool is_news;

	backoff_left(backoff, tried);
	if (backoff_rests(backoff) && !tried)
		return false;
	if (backoff->failures < UINT32_MAX)
		backoff->failures++;
	if (!tried && backoff->failures < pace->patience)
		return false;
	if (backoff->rests < UINT32_MAX)
		backoff->rests++;
	backoff->until_us = now_us + rest_us(backoff, pace);
	is_news = !backoff->is_said;
	backoff->is_said = true;
	return is_news;
}

void
backoff_left(struct backoff *backoff, bool tried)
{
	if (tried)
		backoff->on_trial = false;
}
