"""Every constant that the statistics assume, in one place, until they are learned from history.

They are frozen before a benchmark run is published; docs/statistics.md says what each one costs.
"""

POD_NOISE_SD = 0.15
"""Assumed standard deviation of the log event odds between healthy pods of one version."""

WINDOW_NOISE_SD = 0.32
"""Assumed standard deviation of a pod's log event odds from one window to the next (variance .1)."""

WINDOW_MEMORY = 0.6
"""Assumed AR(1) memory of that window noise, per window."""

WINDOW_RHO = 0.03
"""Assumed intraclass correlation of the contender's share of events between windows (beta-binomial)."""

ASSUMED_PODS = 10.0
"""... in a fleet of this many pods; in a larger one it falls as one over their number."""

RESTART_SECONDS = 300.0
"""A new start of the evidence every five minutes of settled windows, so that a late regression is not diluted."""

RESTARTS = 48
"""Starts planned before the release, beside start 0: four hours of settled windows."""

MARGIN_ALPHA = 0.10
"""A contender exactly at the margin is rolled back with at most this chance (per release, by design)."""

PAUSE_ALPHA = 0.05
"""A healthy release is held back by evidence that leans towards harm with at most this chance."""

INTERVAL_ALPHA = 0.05
"""Two-sided error of the interval that is shown and that lets a batch advance early."""

POD_QUANTILE = 1.645
"""How many pod-noise standard deviations widen each end of the interval: one-sided 5 %."""

STALE_WINDOWS = 3
"""A side whose last usable window ended more than this many windows ago is blind."""

NOTICED_REQUESTS = 20.0
"""A contender without requests is noticed once this many were due by its share so far."""

LIMIT_MIN_EVENTS = 5
"""A hard limit is never called broken on fewer events than this."""

HEALTHY_MIN_WINDOWS = 2
"""Never call a contender healthy on a single window."""

QUIET_REQUESTS = 1000.0
"""n0 of the bound on a rate: the bound is tightest near one event in this many requests."""

AGE_SECONDS = (60.0, 120.0, 180.0, 300.0, 480.0, 960.0)
"""Times T over which the youth of a pod may fade, in seconds."""

AGE_EXTRA_SD = 1.0
"""Prior standard deviation of ln(1 + b), b being the extra events of a pod at birth."""

AGE_BLOCK = 5
"""Windows over which a pod of a replay keeps one rate of its own while it is made young."""

LEAST_ROLLOUTS = 3
"""Past rollouts without which nothing is said about young pods."""

LEAST_YOUNG_EVENTS = 30.0
"""... and events that were due in them at old pods' rates."""

MIX_PRIOR_EVENTS = 2.0
"""Events by which each stratum's rate is drawn towards the rate of all."""

MIX_ROUNDS = 500
"""Turns of proportional scaling between strata and windows, at most."""

EXACT_LOOKS = (10, 20)
"""The exact rule looks once after so many windows of the first batch that can carry it, and not in between."""

EXACT_RATIO = 1.25
"""... and wants the contender's pods this much worse on average."""

EXACT_ASSIGNMENTS = 10_000
"""... among all ways to choose the contender's pods, or among so many where there are more."""

MOST_STRATA = 10
"""Strata of a mix that are told apart; everything else is one more."""

EXCEEDANCE_TARGETS = (0.5, 0.1, 0.02, 0.005)
"""Latency boundaries are chosen where the incumbent's share of slower requests is nearest to these."""

LEARNING_WINDOWS = 10
"""Latency boundaries are learned from at least the first ten shared windows, and then stay."""

LEARNING_REQUESTS = 10_000.0
"""... and from the first windows that hold this many incumbent requests."""

COARSE_TAIL = 0.05
"""Warn when more than this share of incumbent requests lies above the last finite bucket."""

MIN_BUCKET_REQUESTS = 50.0
"""Latency boundaries are learned from at least this many incumbent requests."""

LEVEL_BANDWIDTH = 0.05
"""Gauges: least width of the kernels, and least spread, of ln levels of healthy pods."""

LEVEL_HEAVY_SHARE = 0.13
"""Gauges: the part of the density of levels that is Student's t with 3 degrees of freedom: nothing is impossible."""

LEVEL_SHIFT_REACH = 2.2
"""Gauges: the likelihood ratio is mixed over shifts of ln level from the margin to this much beyond it (x9)."""

LEVEL_PRIOR_SD = 0.7
"""Gauges: scale of the half-normal weights of those shifts: most regressions that matter are around x2."""

LEVEL_ODD_POD = 0.3
"""Gauges: the part of the alternative in which one pod of the contender is bad and the others are not."""

LEVEL_SHIFTS = 23
"""Gauges: points of that mixture, the margin itself included."""

LEVEL_SCORE_CLIP = 0.02
"""Gauges: ranks are kept this far from 0 and 1 before they become normal scores."""

LEVEL_DRIFT_SHARE = 0.5
"""Gauges: how much of the incumbents' own drift away from their history is taken off the contender's levels."""

LEVEL_OFFSET_SHARE = 0.01
"""Gauges: added to a reading before its logarithm, as a share of the median reading, so that zero has one."""

LEAST_LEVELS = 12
"""Gauges: a reference has at least this many pods of the role."""

MOST_LEVELS = 200
"""Gauges: a reference keeps at most this many pods, the latest ones."""

MIXED_SD = 0.5
"""Gauges: one role is doubted when ln levels of its pods have a larger standard deviation than this."""

MIXED_GAP = 1.0
"""Gauges: ... or when they fall into two groups of pods that lie further apart than this (x2.7) in ln level."""

BURSTY_SHARE = 0.25
"""Gauges: with more than this share of readings at zero a gauge has no level; it tells how often there is work."""

LEVEL_NOISE_SD = 0.24
"""Gauges without history: assumed standard deviation of ln level between healthy pods of one role."""

LEAST_INCUMBENTS = 3
"""Gauges without history: the contender is compared with at least this many incumbent pods."""

NEWBORN_PODS = 8
"""Gauges: how levels grow with age is learned from at least this many pods that were seen from their birth."""

LEVEL_PLATEAU = 600.0
"""Gauges: seconds after which a pod's level counts as grown up, unless history has shown another age."""

GROWTH_AGES = (60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0)
"""Gauges: upper ends in seconds of the classes of age below which pods may still grow."""

GROWTH_SHIFT = 0.05
"""Gauges: an age class still grows while its median ln level lies further than this from the later one."""

GROWTH_SPREAD = 0.10
"""Gauges: ... or while pods differ from their own later ln level by more than this standard deviation."""

LEAST_READINGS = 10
"""Gauges: a pod's level is a mean over at least this many readings."""

LEVEL_BLOCK = 1800.0
"""Gauges: seconds of the means whose spread inside one pod is learned."""

EARLY_READINGS = 3
"""Gauges: in a release a pod has a level from this many readings on: one reading alone may be a spike."""

LIMIT_READINGS = 3
"""Gauges: a hard limit is broken by a pod whose last readings, this many of them, all lie beyond it."""

SLOW_WINDOWS = 5.0
"""Pod noise remembered for at least this many windows widens the interval; shorter noise is in the rho of the share."""

SMOOTHING_WINDOWS = 5
"""Replays: events are added at a rate smoothed over this many windows on either side, never at the observed count."""

LEAST_SEGMENTS = 6
"""Learning: thresholds are calibrated on at least this many distinct stretches of history."""

ASSIGNMENTS = 6
"""Learning: how many times pods are drawn to play the contender in each segment."""

MOST_ASSIGNMENTS = 24
"""Learning: ... and how many times where segments are few."""

LEAST_REPLAYS = 144
"""Learning: assignments are added until there are this many replays in all."""

MOST_REPLAY_PODS = 200
"""Learning: of a larger fleet this many pods, drawn anew for each replay, stand for all."""

LEAST_EVENTS = 30.0
"""Learning: pod noise is learned from at least this many events in all of history."""

VARIATION_TIMES = (0.01, 1.5, 5.0, 15.0, 45.0)
"""Learning: memories in windows of the AR(1) parts of pod noise, beside the part that stays for good."""

VARIATION_LENGTHS = (1, 2, 5, 10, 20, 30, 60)
"""Learning: block lengths in windows at which the variance between pods is measured."""

LEARNED_PRIOR_SD = 0.5
"""Learning: scale of the half-normal prior over log ratios in G. Half of the assumed gate's: with thresholds from
replays, .5 sees x3 under heavy noise one or two points of power more often than 1, and nowhere later."""

VARIATION_FLOOR = 0.03**2
"""Learning: healthy pods never differ by less than this relative variance in counts."""

SHARE_VARIATION_FLOOR = 2e-5
"""Learning: ... nor by less than this in the share of requests above a latency boundary."""

RHO_RANGE = (1e-4, 0.3)
"""Learning: what the intraclass correlation of the contender's share of events is kept within."""

TAIL_SHARE = 0.2
"""Learning: the largest fifth of replay maxima is the tail whose mean excess is fitted."""

LEAST_SPREAD = 0.25
"""Learning: mean excess of a tail, in nats, is never taken to be smaller than this."""

FAMILY_WEIGHTS = {"errors": 0.35, "latency": 0.30, "saturation": 0.15}
"""Learning: what part of the chance of a false rollback each family of gates gets, in proportion."""

HISTORY_SHARE = 0.20
"""The part of the chance of a false rollback that the history band gets where a release has one."""

FOLDS = 6
"""Learning: the realised rate is counted on each of so many parts of history with thresholds from the others."""

LATEST_SECONDS = 3600.0
"""Learning on the last hours after noise has changed: pods differ at least as much as in the very last stretch."""

FEW_PODS_VILLE = 0.15
"""Learning on the last hours: part of Ville's bound e^-x that evidence G of healthy releases is taken to reach."""

PRESENT_SECONDS = 300.0
"""Noise of the last hour against history: pods are compared in blocks of this length."""

PRESENT_CLIP = 9.0
"""Noise of the last hour against history: what one pod in one block can contribute at most."""

PRESENT_BAND = (0.05, 0.95)
"""Noise of the last hour against history: the noise has changed when it lies outside these quantiles of segments."""

BAND_STEP = 300.0
"""History band: seconds from one point to the next."""

BAND_HORIZON = 12
"""History band: how many points after its origin it judges, one hour."""

BAND_FILL = 3
"""History band: a hole of up to this many points is filled with the value before it."""

BAND_LEAST_DAYS = 3.0
"""History band: nothing is learned from less."""

BAND_DAYS = 21.0
"""History band: how far back the season is learned from."""

BAND_TRAIN_DAYS = 14.0
"""History band: ... and forecast, scale and thresholds."""

BAND_OFFSET = (0.05, 2.0)
"""History band: what is added to a value before its logarithm, as a share of the usual level: at least and at most."""

BAND_STEP_OFFSET = 2.0
"""History band: ... and between them so many times the relative variance of a step."""

BAND_STRETCHES = (3, 36, 144, 288)
"""History band: means over the last so many points that the forecast may lean on."""

BAND_RIDGE = 0.1
"""History band: ridge penalty of the forecast on standardised terms, per row."""

BAND_SCALE_RIDGE = 0.3
"""History band: the same for the logarithm of its error."""

BAND_CLIP = 8.0
"""History band: no term counts for more than so many of its standard deviations."""

BAND_HUBER = 1.345
"""History band: rows whose error exceeds so many robust standard deviations are weighted down, once (Huber 1964)."""

BAND_WEEKLY_PRIOR = 4.0
"""History band: an hour of the week needs so many weeks to be believed by half."""

BAND_QUANTILE = 0.985
"""History band: the errors at each h are brought to a common scale by this quantile."""

BAND_FOLDS = 5
"""History band: thresholds come from errors in each of so many parts, forecast by what the others taught."""

BAND_UNUSUAL = 4.0
"""History band: an excess of more than so many times the usual one counts as that; unknown incidents are in it."""

BAND_DEEP_ALPHA = 0.01
"""History band: below this chance the tail of real series is heavier than exponential ..."""

BAND_DEEP_SLOPE = 2.0
"""History band: ... by this factor on its slope."""

BAND_CLOCK_ROOM = 1.25
"""History band: a half hour of the day is special when its errors usually are larger than others by this factor."""

BAND_CLOCK_MOST = 20.0
"""History band: ... and by no more than this is it excused."""

BAND_CLOCK_PRIOR = 1.0
"""History band: a half hour of the day needs so many days to be believed by half."""

BAND_LEAST_MOVES = 0.01
"""History band: a series that moves in fewer of its steps is called constant."""

BAND_LEAST_TAIL = (0.25, 0.1)
"""History band: neither location nor spread of the tail of M is taken to be smaller."""

BAND_LEAST_UNIT = 0.002
"""History band: a change of less than this in z is never a surprise: a fifth of a percent."""

BAND_ROLLOUT = (600.0, 3_600.0)
"""History band: seconds left out before and after a rollout or an incident."""

BAND_HALF_LIFE = 3.0
"""History band: days after which a point counts half, once the level has shifted."""

BAND_SHIFT = 0.25
"""History band: a day is a new level when its median lies outside those of all days by this part of their range."""

BAND_SMALL_INCUMBENT = 0.20
"""History band: an incumbent that serves less than this leaves most of the promise to history."""

BAND_OLDEST_POINT = 900.0
"""History band: seconds after which the last point is too old to judge."""

BAND_OLDEST_DAYS = 8.0
"""History band: days after which what was learned is no longer used."""

BAND_POD_QUANTILE = 0.95
"""History band of a latency: which quantile of all requests it forecasts."""

BAND_OFFSET_RARE = 2.33
"""History band: new pods and the forecast's errors share the hour by their 1 % points; this is a normal one's."""

BAND_OFFSET_NODES = 401
"""History band: values at which the luck of new pods is weighed."""

BAND_HEALTHY_POINTS = 3
"""History band: never healthy on fewer points."""

CAUGHT = 0.90
"""Power: a harm counts as caught when so many of the releases with it are stopped."""

POWER_REPLAYS = 168
"""Power: replays that a figure is made from: two of each of 84 segments; more of one segment say little more."""

POWER_HOURS = 240
"""Power of the history band: hours that a figure is made from, spread over its history."""

SLOW_FACTOR = 20.0
"""Power: how much slower the slow part of an injected slow tail is."""
