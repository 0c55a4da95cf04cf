-- Does what a worker has to do, in one step: what has ended is settled, then requests are admitted in
-- the order in which they came. Of each request all limits are checked together: refused means that
-- nothing was taken anywhere.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  MessagePack, one flat array:
--          name of the worker, 1 when its time is to be renewed, and for how long (ms); number of this
--          call, up to which of its calls all is done
--          number of leases, and the number of each
--          number of counters, the name of each, the kind of each (r requests: counted when admitted; w
--          window, s sum, c sum of a calendar period, p parallel requests: held, and counted when
--          settled), the period of each (r, w) or the time until it begins anew (c; s: -1, never), in
--          ms. The name of a c ends in "@" and when its period began (Unix time); that is no part of
--          the counter's name.
--          then the work, until the end; leases and counters are meant by their place above:
--          1 settle: lease, how long ago (ms), number of counters, then 2 for each: counter, amount
--          2 admit: lease, number of alternatives, number of DEMANDS that always hold, these, and for
--            each alternative: number of its DEMANDS, these
--          3 move to another deployment, what the present one holds is given back: as 2
--          4 grow: lease, number of counters, then 6 for each: counter, 1 when it belongs to the
--            deployment, limit, what was used, what it would like to hold, what it holds
--          5 enter what Redis has forgotten: lease, how many do not belong to the deployment, number
--            of counters, then 2 for each: counter, amount
--          6 end the leases of another worker, that is gone: its name
--          A DEMAND is 3: counter, limit, amount.
-- Gives MessagePack, one flat array: 0, 1 (the worker was not known: enter all that runs) or 2 (this
-- call was done before), then for each of 2 and 3:
--          1 (granted) or 0, the alternative that was taken (from 1) or the demand that refuses (from
--          1, 0: none), the time in ms until it may fit (0: when another request ends, -1: never), the
--          number of demands that follow (those that always hold and, granted, those of the alternative),
--          for each what is used and the time until nothing of it counts, the number of those of which
--          less is held than was asked for, then 2 for each: which (from 1), what is held
--          for each counter of 4: what is held now, or -1: the limit has run out

-- include part_counters.lua
-- include part_workers.lua

local work = cmsgpack.unpack(ARGV[1])
local me, is_beat, ttl, number, settled = work[1], work[2] == 1, work[3], work[4], work[5]
local mine = base .. ':worker:' .. me

-- What is there of the worker and its leases.
local leases, at = work[6], 7 + work[6]
local held, serials, was_known, done = {}, {''}, false, ''
do
    for i = 1, leases do
        serials[i + 1] = work[6 + i]
    end
    local found = redis.call('HMGET', mine, unpack(serials))
    if found[1] then
        local how, before, numbers = string.match(found[1], '^(%l* ?)(%d+)(.*)$')
        before = tonumber(before)
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
        held[i] = found[i + 1] and cmsgpack.unpack(found[i + 1])
    end
end

-- All counters at once; `list` has them as the work means them, their kinds and periods stand behind
-- `kinds` and `periods`.
local list, kinds, periods = {}, 0, 0
do
    local many, names = work[at], at
    kinds, periods = names + many, names + 2 * many
    local began = {}
    for i = 1, many do
        if work[kinds + i] == 'c' then
            local name, begins = string.match(work[names + i], '^(.*)@(%d+)$')
            work[names + i], work[kinds + i], began[i] = name, 's', begins * 1000
        end
    end
    for first = 1, many, MANY do
        local last = first + MANY - 1 < many and first + MANY - 1 or many
        local values = redis.call('HMGET', counters, unpack(work, names + first, names + last))
        for i = first, last do
            local name = work[names + i]
            list[i] = cells[name] or read_cell(name, values[i - first + 1], work[kinds + i])
            if began[i] then
                begin_anew(list[i], began[i])
            end
        end
    end
    at = periods + many + 1
end

local answer, said, changed_leases = {was_known and 0 or 1}, 1, {}

local function put(value)
    said = said + 1
    answer[said] = value
end

-- `its` may be empty, but for its first number.
local function keep(lease, its)
    held[lease] = its and #its > 1 and its
    changed_leases[lease] = true
end

local function settle(lease, age, many)
    for i = at, at + 2 * many - 1, 2 do
        count(list[work[i]], work[periods + work[i]], work[i + 1], now - age)
    end
    at = at + 2 * many
    if held[lease] then
        give_back(held[lease], 2)
        keep(lease, false)
    end
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

-- Appends to `its` what the demands hold, to `less` where that is less than was asked for. `before` is
-- the number of demands that were taken before.
local function take(from, many, its, less, before)
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
            count(cell, work[periods + index], part, now)
        elseif part > 0 then
            cell[HELD], cell[IS_CHANGED] = promised + part, true
            its[size + 1], its[size + 2] = cell[NAME], part
            size = size + 2
        end
        report(cell, index)
        from = from + 3
    end
    return size
end

-- What the present deployment holds goes back.
local function leave(lease)
    local its = held[lease] or {0}
    local common = 1 + 2 * its[1]
    if #its == common then
        return its
    end
    give_back(its, common + 1)
    local rest = {}
    for i = 1, common do
        rest[i] = its[i]
    end
    keep(lease, rest)
    return rest
end

local function admit(lease, choices, is_move)
    local first, common = at + 1, work[at]
    at = first + 3 * common
    local its = is_move and leave(lease) or {0}
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
    put(refused and 0 or 1)
    put(refused or chosen)
    put(wait)
    if refused then
        put(common)
        for i = first, first + 3 * (common - 1), 3 do
            report(list[work[i]], work[i])
        end
        return put(0)
    end

    local less, size = {}, #its
    put(common + (chosen > 0 and work[chosen_at - 1] or 0))
    local new_size = take(first, common, its, less, 0)
    if not is_move then
        its[1] = (new_size - 1) / 2
    end
    if chosen > 0 then
        new_size = take(chosen_at, work[chosen_at - 1], its, less, common)
    end
    if new_size > size then
        keep(lease, its)
    end
    put(#less / 2)
    for i = 1, #less do
        put(less[i])
    end
end

-- A running request is not waiting: it asks for some more than it needs, so that it need not ask for
-- every event, and stops when even what it has used is too much.
local function grow(lease, many)
    local its = held[lease]
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
                keep(lease, its)
            end
            put(holds + more)
        end
    end
    at = at + 6 * many
end

local function enter(lease, common, many)
    if not held[lease] then
        local its = {common}
        for i = at, at + 2 * many - 1, 2 do
            local cell = list[work[i]]
            cell[HELD], cell[IS_CHANGED] = cell[HELD] + work[i + 1], true
            its[#its + 1] = cell[NAME]
            its[#its + 1] = work[i + 1]
        end
        keep(lease, its)
    end
    at = at + 2 * many
end

local last = #work
while at <= last do
    local what, a, b, c = work[at], work[at + 1], work[at + 2], work[at + 3]
    if what == 1 then
        at = at + 4
        settle(a, b, c)
    elseif what == 2 or what == 3 then
        at = at + 3
        admit(a, b, what == 3)
    elseif what == 4 then
        at = at + 3
        grow(a, b)
    elseif what == 5 then
        at = at + 4
        enter(a, b, c)
    else
        at = at + 2
        end_worker(a, true)
    end
end

-- All that is written. What needs memory stands first: Redis refuses the first of it, or none.
local set, del = {'', string.format('%d%s %d', settled, done, number)}, {}
for lease in pairs(changed_leases) do
    if held[lease] then
        set[#set + 1] = serials[lease + 1]
        set[#set + 1] = cmsgpack.pack(held[lease])
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
