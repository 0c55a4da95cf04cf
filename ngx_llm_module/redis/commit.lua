-- Does what a worker has to do, in one step: what has ended is settled, then requests are admitted in
-- the order in which they came. Of each request all limits are checked together: refused means that
-- nothing was taken anywhere.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  MessagePack, one flat array:
--          name of the worker, 1 when its time is to be renewed (2 when what is answered is to be
--          known until this call is settled, 3 for both), and for how long (ms); number of this call,
--          up to which of its calls all is done
--          number of leases, and the number of each (a text: numbers are slow to write)
--          number of counters, the name of each, the kind of each (r requests: counted when admitted; w
--          window, s sum, p parallel requests: held, and counted when settled), the period of each (r,
--          w) or the time until it begins anew (s; -1: never), in ms
--          number of sums of calendar periods, then 2 for each: counter, when its period began (ms)
--          then the work, until the end; leases and counters are meant by their place above:
--          1 settle: number of leases, these: they hold nothing any more
--          2 admit leases that ask for the same: number of leases, these, number of alternatives,
--            number of DEMANDS that always hold, these, and for each alternative: number of its
--            DEMANDS, these
--          3 move to another deployment, what the present one holds is given back: lease, number of
--            counters that it gives back besides (of the model, when it is another one now), these,
--            then as 2
--          4 grow: lease, number of counters, then 6 for each: counter, 1 when it belongs to the
--            deployment, limit, what was used, what it would like to hold, what it holds
--          5 enter what Redis has forgotten: lease, how many do not belong to the deployment, number
--            of counters, then 2 for each: counter, amount
--          6 end the leases of another worker, that is gone: its name
--          7 count what was used: how long ago (ms), number of counters, then 2 for each: counter,
--            amount
--          8 take back what was counted for requests: when (ms, the time of 3 below), number of
--            counters, then 2 for each: counter, amount
--          A DEMAND is 3: counter, limit, amount.
-- Gives MessagePack, one flat array: 2 (this call was done before), or 3 (it was, too), when that was
-- (ms), and what follows here as it was then; else 0 or 1 (the worker was not known: enter all that
-- runs), then for each of 3, and for each run of leases of 2 that were treated alike
-- (first their number; what is used is what the last of them saw):
--          1 (granted) or 0, the alternative that was taken (from 1) or the demand that refuses (from
--          1, 0: none), the time in ms until it may fit (0: when another request ends, -1: never), the
--          number of demands that follow (those that always hold and, granted, those of the alternative),
--          for each what is used and the time until nothing of it counts, the number of those of which
--          less is held than was asked for, then 2 for each: which (from 1), what is held
--          for each counter of 4: what is held now, or -1: the limit has run out

-- include part_counters.lua
-- include part_workers.lua

local work = cmsgpack.unpack(ARGV[1])
local me, ttl, number, settled = work[1], work[3], work[4], work[5]
local is_beat, keeps_answer = work[2] % 2 == 1, work[2] >= 2
local mine = base .. ':worker:' .. me

-- What is there of the worker and its leases, packed: many hold the same.
local leases, at = work[6], 7 + work[6]
local held, serials, was_known, done = {}, {''}, false, ''
local answers = {}  -- that are kept, 3 for each call: its number, when it was done, the answer
do
    for i = 1, leases do
        serials[i + 1] = work[6 + i]
    end
    local found = redis.call('HMGET', mine, unpack(serials))
    if found[1] then
        local how, before, numbers, kept = string.match(found[1], '^(%l* ?)(%d+)([ %d]*)\n?(.*)$')
        before = tonumber(before)
        kept = kept ~= '' and cmsgpack.unpack(kept) or {}
        for i = 1, #kept, 3 do
            if kept[i] == number then
                local again = kept[i + 2]
                again[1] = kept[i + 1]
                table.insert(again, 1, 3)
                return cmsgpack.pack(again)
            elseif kept[i] > settled then
                local size = #answers
                answers[size + 1], answers[size + 2], answers[size + 3] = kept[i], kept[i + 1], kept[i + 2]
            end
        end
        if number <= before then
            return cmsgpack.pack({2})
        end
        for other in string.gmatch(numbers, '%d+') do
            other = tonumber(other)
            if other == number then
                return cmsgpack.pack({2})
            elseif other > settled then
                done = done .. string.format(' %d', other)
            end
        end
        settled = math.max(settled, before)
        was_known = how == ''
    end
    for i = 1, leases do
        held[i] = found[i + 1]
    end
end

-- All counters at once; `list` has them as the work means them, their kinds and periods stand behind
-- `kinds` and `periods`.
local list, kinds, periods = {}, 0, 0
do
    local many, names = work[at], at
    kinds, periods = names + many, names + 2 * many
    for first = 1, many, MANY do
        local last = first + MANY - 1 < many and first + MANY - 1 or many
        local values = redis.call('HMGET', counters, unpack(work, names + first, names + last))
        for i = first, last do
            local name = work[names + i]
            list[i] = cells[name] or read_cell(name, values[i - first + 1], work[kinds + i])
        end
    end
    at = periods + many + 1
    local first_work = at + 1 + 2 * work[at]
    for i = at + 1, first_work - 1, 2 do
        begin_anew(list[work[i]], work[i + 1])
    end
    at = first_work
end

local answer, said, changed_leases = {was_known and 0 or 1}, 1, {}

local function put(value)
    said = said + 1
    answer[said] = value
end

-- `its` may be empty, but for its first number.
local function packed(its)
    return #its > 1 and cmsgpack.pack(its)
end

local function keep(lease, bytes)
    held[lease] = bytes
    changed_leases[lease] = true
end

local function settle(many)
    local alike = {}
    for i = at, at + many - 1 do
        local lease = work[i]
        local bytes = held[lease]
        if bytes then
            alike[bytes] = (alike[bytes] or 0) + 1
            keep(lease, false)
        end
    end
    for bytes, times in pairs(alike) do
        give_back(cmsgpack.unpack(bytes), 2, times)
    end
    at = at + many
end

local function count_used(age, many)
    for i = at, at + 2 * many - 1, 2 do
        count(list[work[i]], work[periods + work[i]], work[i + 1], now - age)
    end
    at = at + 2 * many
end

-- Of windows, as far as their step of then still counts.
local function take_back(when, many)
    for i = at, at + 2 * many - 1, 2 do
        local cell, period, amount = list[work[i]], work[periods + work[i]], work[i + 1]
        local length, taken = math.ceil(period / 12), 0
        local step = (when - when % length) / length
        if step == cell[STEP] then
            taken = math.min(amount, cell[AMOUNT])
            cell[AMOUNT] = cell[AMOUNT] - taken
        end
        local older = cell[OLDER]
        for place = 1, step < cell[STEP] and #older or 0, OLDER_SIZE do
            local leaves, in_step = struct.unpack(OLDER_STEP, older, place)
            if math.floor((leaves - period) / length) == step then
                taken = math.min(amount, in_step)
                cell[OLDER] = string.sub(older, 1, place - 1)
                    .. struct.pack(OLDER_STEP, leaves, in_step - taken)
                    .. string.sub(older, place + OLDER_SIZE)
            end
        end
        if taken > 0 then
            cell[SPENT], cell[IS_CHANGED] = cell[SPENT] - taken, true
        end
    end
    at = at + 2 * many
end

local function lasts_longer(a, b)
    return b >= 0 and (a < 0 or a > b)
end

-- For how long a demand does not fit.
local function wait_for(cell, limit, amount, period)
    local kind, spent, promised = cell[KIND], cell[SPENT], cell[HELD]
    if limit <= 0 then
        return -1
    elseif kind == 'p' then
        return 0
    elseif kind == 's' then
        return spent < limit and 0 or period
    end
    local wanted = promised == 0 and 1 or promised + amount
    return math.max(frees(cell, spent + wanted - limit), 0)
end

-- Of several that refuse, the one that lasts longest: its number, how long. Or nothing.
local function check(from, many)
    local refused, wait = nil, 0
    for i = 1, many do
        local cell, limit, amount = list[work[from]], work[from + 1], work[from + 2]
        local promised, left = cell[HELD], limit - cell[SPENT]
        if left <= 0 or promised > 0 and promised + amount > left then
            local for_ms = wait_for(cell, limit, amount, work[periods + work[from]])
            if not refused or lasts_longer(for_ms, wait) then
                refused, wait = i, for_ms
            end
        end
        from = from + 3
    end
    return refused, wait
end

-- What is used, and the time until nothing of it counts.
local function report(cell, index)
    local kind, spent = cell[KIND], cell[SPENT]
    answer[said + 1] = spent + cell[HELD]
    answer[said + 2] = kind == 's' and work[periods + index] or spent > 0 and cell[GONE] - now or 0
    said = said + 2
end

-- How many of so many requests alike can be admitted at once, when one can.
local function fitting(from, many, times)
    for i = from, from + 3 * (many - 1), 3 do
        local amount = work[i + 2]
        if amount > 0 then
            local cell = list[work[i]]
            local fit = math.floor((work[i + 1] - cell[SPENT] - cell[HELD]) / amount)
            times = fit < times and fit or times
        end
    end
    return times > 1 and times or 1
end

-- So many times. Appends to `its` what the demands hold, to `less` where that is less than was asked
-- for. `before` is the number of demands that were taken before.
local function take(from, many, times, its, less, before)
    local size = #its
    for i = 1, many do
        local index, part = work[from], work[from + 2]
        local cell = list[index]
        local promised = cell[HELD]
        local left = work[from + 1] - cell[SPENT] - promised
        if part > left then
            part = left > 0 and left or 0
            less[#less + 1] = before + i
            less[#less + 1] = part
        end
        if cell[KIND] == 'r' then
            count(cell, work[periods + index], times * part, now)
        elseif part > 0 then
            cell[HELD], cell[IS_CHANGED] = promised + times * part, true
            its[size + 1], its[size + 2] = cell[NAME], part
            size = size + 2
        end
        report(cell, index)
        from = from + 3
    end
    return size
end

-- What the present deployment holds goes back, and what it holds of these counters. What remains.
local function leave(lease, first, many)
    local its = held[lease] and cmsgpack.unpack(held[lease]) or {0}
    local common, is_named = 1 + 2 * its[1], {}
    if #its == common and many == 0 then
        return its
    end
    for i = first, first + many - 1 do
        is_named[list[work[i]][NAME]] = true
    end
    local rest, back = {0}, {}
    for i = 2, #its, 2 do
        local to = (i > common or is_named[its[i]]) and back or rest
        to[#to + 1] = its[i]
        to[#to + 1] = its[i + 1]
    end
    if #back > 0 then
        rest[1] = (#rest - 1) / 2
        give_back(back, 1, 1)
        keep(lease, packed(rest))
        return rest
    end
    return its
end

-- As many as are treated alike of the leases that stand from `lease` on in the work. How many.
local function admit(lease, leases_left, is_move)
    local its = {0}
    if is_move then
        its = leave(work[lease], at + 1, work[at])
        at = at + 1 + work[at]
    end
    local choices, common, first = work[at], work[at + 1], at + 2
    at = first + 3 * common
    local refused, wait = check(first, common)
    local chosen, chosen_at, before = 0, nil, common
    local by, for_ms = nil, 0
    for i = 1, choices do
        local many = work[at]
        if not refused and chosen == 0 then
            local its_by, its_wait = check(at + 1, many)
            if not its_by then
                chosen, chosen_at = i, at + 1
            elseif not by or lasts_longer(for_ms, its_wait) then
                by, for_ms = before + its_by, its_wait
            end
        end
        before = before + many
        at = at + 1 + 3 * many
    end
    if not refused and chosen == 0 and (choices > 0 or is_move) then
        refused, wait = by or 0, for_ms
    end
    local times = leases_left
    if not refused and times > 1 then
        times = fitting(first, common, times)
        times = chosen > 0 and fitting(chosen_at, work[chosen_at - 1], times) or times
    end
    if not is_move then
        put(times)
    end
    put(refused and 0 or 1)
    put(refused or chosen)
    put(wait)
    if refused then
        put(common)
        for i = first, first + 3 * (common - 1), 3 do
            report(list[work[i]], work[i])
        end
        put(0)
        return times
    end

    local less, size = {}, #its
    put(common + (chosen > 0 and work[chosen_at - 1] or 0))
    local new_size = take(first, common, times, its, less, 0)
    its[1] = (new_size - 1) / 2
    if chosen > 0 then
        new_size = take(chosen_at, work[chosen_at - 1], times, its, less, common)
    end
    if new_size > size then
        local bytes = packed(its)
        for i = lease, lease + times - 1 do
            keep(work[i], bytes)
        end
    end
    put(#less / 2)
    for i = 1, #less do
        put(less[i])
    end
    return times
end

local function admit_all(many)
    local lease, demands = at, at + many
    local after = demands
    while lease < demands do
        at = demands
        lease = lease + admit(lease, demands - lease, false)
        after = at
    end
    at = after
end

-- A running request is not waiting: it asks for some more than it needs, so that it need not ask for
-- every event, and stops when even what it has used is too much.
local function grow(lease, many)
    local its, has_more = held[lease] and cmsgpack.unpack(held[lease]), false
    for i = at, at + 6 * many - 1, 6 do
        local cell, is_own, limit = list[work[i]], work[i + 1] == 1, work[i + 2]
        local used, wanted, holds = work[i + 3], work[i + 4], work[i + 5]
        local left = limit - cell[SPENT] - cell[HELD]
        if used - holds > left then
            put(-1)
        else
            local more = math.max(math.min(wanted - holds, left), 0)
            if more > 0 and its then
                cell[HELD], cell[IS_CHANGED] = cell[HELD] + more, true
                local place = is_own and #its + 1 or 2
                table.insert(its, place, cell[NAME])
                table.insert(its, place + 1, more)
                its[1] = is_own and its[1] or its[1] + 1
                has_more = true
            end
            put(holds + more)
        end
    end
    if has_more then
        keep(lease, packed(its))
    end
    at = at + 6 * many
end

local function enter(lease, common, many)
    local its = held[lease] and cmsgpack.unpack(held[lease])
    if its then
        -- It may have moved since Redis forgot it: then what it took before is not known.
        local is_known = {}
        for i = 2, 2 * its[1], 2 do
            is_known[its[i]] = true
        end
        for i = at, at + 2 * common - 1, 2 do
            local cell = list[work[i]]
            if not is_known[cell[NAME]] then
                cell[HELD], cell[IS_CHANGED] = cell[HELD] + work[i + 1], true
                table.insert(its, 2, work[i + 1])
                table.insert(its, 2, cell[NAME])
                its[1] = its[1] + 1
            end
        end
        keep(lease, packed(its))
    else
        its = {common}
        for i = at, at + 2 * many - 1, 2 do
            local cell = list[work[i]]
            cell[HELD], cell[IS_CHANGED] = cell[HELD] + work[i + 1], true
            its[#its + 1] = cell[NAME]
            its[#its + 1] = work[i + 1]
        end
        keep(lease, packed(its))
    end
    at = at + 2 * many
end

local last = #work
while at <= last do
    local what, a, b, c = work[at], work[at + 1], work[at + 2], work[at + 3]
    if what == 1 then
        at = at + 2
        settle(a)
    elseif what == 2 then
        at = at + 2
        admit_all(a)
    elseif what == 3 then
        at = at + 2
        admit(at - 1, 1, true)
    elseif what == 4 then
        at = at + 3
        grow(a, b)
    elseif what == 5 then
        at = at + 4
        enter(a, b, c)
    elseif what == 6 then
        at = at + 2
        end_worker(a, true)
    elseif what == 7 then
        at = at + 3
        count_used(a, b)
    else
        at = at + 3
        take_back(a, b)
    end
end

-- All that is written. What needs memory stands first: Redis refuses the first of it, or none.
local set, del = {'', string.format('%d%s %d', settled, done, number)}, {}
if keeps_answer then
    local size = #answers
    answers[size + 1], answers[size + 2], answers[size + 3] = number, now, answer
end
if #answers > 0 then
    set[2] = set[2] .. '\n' .. cmsgpack.pack(answers)
end
for lease in pairs(changed_leases) do
    if held[lease] then
        set[#set + 1] = serials[lease + 1]
        set[#set + 1] = held[lease]
    else
        del[#del + 1] = serials[lease + 1]
    end
end
redis.call('HSET', mine, unpack(set))
if is_beat or not was_known then
    sweep(me, ttl)
end
save_cells()
if #del > 0 then
    redis.call('HDEL', mine, unpack(del))
end
save_ended()
-- As much is looked at as may have become useless.
if created > 0 or is_beat then
    clean(created > 0 and 8 * created or 200)
end
return cmsgpack.pack(answer)
