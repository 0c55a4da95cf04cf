-- Does what a worker has to do, in one step: what has ended is settled, then requests are admitted in
-- the order in which they came. Of each request all limits are checked together: refused means that
-- nothing was taken anywhere.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  MessagePack, one flat array:
--          name of the worker, how long its leases live without a call of it (ms), number of this
--          call, up to which of its calls all is done
--          number of leases, and the number of each
--          number of counters, and 3 for each: name, kind (r requests: counted when admitted; w window,
--          s sum, p parallel requests: held, and counted when settled), period (r, w) or time until it
--          begins anew (s, -1: never), in ms
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
--          1, 0: none), the time in ms until it may fit (0: when another request ends, -1: never), for
--          each demand what is used and the time until nothing of it counts, the number of demands of
--          which less is held than was asked for, then 2 for each: the demand (from 1), what is held
--          for each counter of 4: what is held now, or -1: the limit has run out

-- include part_counters.lua
-- include part_workers.lua

local work = cmsgpack.unpack(ARGV[1])
local me, ttl, number, settled = work[1], work[2], work[3], work[4]
local at = 5

local done, next_end, cursor, was_known = '', 0, '0', false
do
    local known = redis.call('HMGET', workers, me, '')
    if known[1] then
        local _, swept, before, numbers = string.match(known[1], '^(%d+) (%d) (%d+)(.*)$')
        for other in string.gmatch(numbers, '%d+') do
            other = tonumber(other)
            if other == number then
                return cmsgpack.pack({2})
            elseif other > settled then
                done = done .. string.format(' %d', other)
            end
        end
        before = tonumber(before)
        if number <= before then
            return cmsgpack.pack({2})
        end
        settled = math.max(settled, before)
        was_known = swept == '0'
    end
    if known[2] then
        next_end, cursor = string.match(known[2], '^(%d+) (%d+)$')
        next_end = tonumber(next_end)
    end
end

local held, serials, changed_leases = {}, {}, {}
local my_leases = base .. ':leases:' .. me
local list = {}  -- all counters, as the work means them
do
    local names, missing = {}, {}
    local leases = work[at]
    for i = 1, leases do
        serials[i] = work[at + i]
    end
    at = at + leases + 1
    for first = 1, leases, MANY do
        local last = math.min(first + MANY - 1, leases)
        local found = redis.call('HMGET', my_leases, unpack(serials, first, last))
        for i = first, last do
            local text = found[i - first + 1]
            held[i] = text and cmsgpack.unpack(text)
        end
    end
    local count_of = work[at]
    at = at + 1
    for i = 1, count_of do
        local name = work[at]
        list[i] = {kind = work[at + 1], period = work[at + 2], step = math.ceil(work[at + 2] / 12)}
        names[i] = name
        missing[name] = true
        at = at + 3
    end
    for i = 1, leases do
        local its = held[i]
        for j = 2, its and #its or 0, 2 do
            if not missing[its[j]] then
                missing[its[j]] = true
                names[#names + 1] = its[j]
            end
        end
    end
    load_cells(names)
    for i = 1, count_of do
        list[i].cell = cells[names[i]]
    end
end

local answer = {was_known and 0 or 1}

local function put(value)
    answer[#answer + 1] = value
end

-- `its` may be empty, but for its first number.
local function keep(lease, its)
    held[lease] = its and #its > 1 and its
    changed_leases[lease] = true
end

local function settle(lease, age, many)
    for i = at, at + 2 * many - 1, 2 do
        local counter = list[work[i]]
        count(counter.cell, counter, work[i + 1], now - age)
    end
    at = at + 2 * many
    if held[lease] then
        give_back(held[lease], 2)
        keep(lease, false)
    end
end

local holds = {}  -- of the demand that stands there, when it fits

-- Whether the demand at `from` fits, and for how long else not.
local function check(from)
    local counter, limit, amount = list[work[from]], work[from + 1], work[from + 2]
    local cell, kind = counter.cell, counter.kind
    local spent, promised = cell.spent, kind == 'r' and 0 or cell.reserved
    local left = limit - spent
    if left > 0 and (promised == 0 or promised + amount <= left) then
        holds[from] = math.min(amount, left - promised)
        return true
    elseif limit <= 0 then
        return false, -1
    elseif kind == 'p' then
        return false, 0
    elseif kind == 's' then
        return false, left > 0 and 0 or counter.period
    end
    local wanted = promised == 0 and 1 or promised + amount
    return false, math.max(frees(cell, spent + wanted - limit), 0)
end

local function lasts_longer(a, b)
    return b >= 0 and (a < 0 or a > b)
end

-- Of several that refuse, the one that lasts longest; where it stands, or nothing.
local function check_all(from, many)
    local refused, wait = nil, 0
    for i = from, from + 3 * (many - 1), 3 do
        local fits, for_ms = check(i)
        if not fits and (not refused or lasts_longer(for_ms, wait)) then
            refused, wait = i, for_ms
        end
    end
    return refused, wait
end

-- Appends to `its` what the demands hold; to `less` where that is less than was asked for.
local function take(from, many, its, less)
    for i = from, from + 3 * (many - 1), 3 do
        local counter, amount = list[work[i]], work[i + 2]
        local cell, its_part = counter.cell, holds[i]
        if counter.kind == 'r' then
            count(cell, counter, its_part, now)
        elseif its_part > 0 then
            cell.reserved = cell.reserved + its_part
            touch(cell)
            its[#its + 1] = cell.name
            its[#its + 1] = its_part
        end
        if its_part < amount then
            less[#less + 1] = i
            less[#less + 1] = its_part
        end
    end
end

-- Groups of demands stand one behind the other, each behind their number: those that always hold, then
-- the alternatives. Which demand stands at `place`, from 1? The first one of all stands at `from`.
local function number_of(place, from)
    local before = 0
    while place >= from + 3 * work[from - 1] do
        before = before + work[from - 1]
        from = from + 3 * work[from - 1] + 1
    end
    return before + (place - from) / 3 + 1
end

local function report(from, groups)
    for _ = 1, groups do
        local many = work[from - 1]
        for i = from, from + 3 * (many - 1), 3 do
            local counter = list[work[i]]
            local cell, kind = counter.cell, counter.kind
            put(kind == 'r' and cell.spent or cell.spent + cell.reserved)
            put(kind == 's' and counter.period or cell.spent > 0 and cell.gone - now or 0)
        end
        from = from + 3 * many + 1
    end
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
    local its, less = is_move and leave(lease) or {0}, {}
    local before = #its
    local refused, wait = check_all(first, common)
    local chosen, chosen_at, by, for_ms = 0, nil, nil, 0
    for i = 1, choices do
        local many = work[at]
        if not refused and chosen == 0 then
            local its_by, its_wait = check_all(at + 1, many)
            if not its_by then
                chosen, chosen_at = i, at + 1
            elseif not by or lasts_longer(for_ms, its_wait) then
                by, for_ms = its_by, its_wait
            end
        end
        at = at + 1 + 3 * many
    end
    if not refused and chosen == 0 and (choices > 0 or is_move) then
        refused, wait = by or 0, for_ms
    end
    if refused then
        put(0)
        put(refused > 0 and number_of(refused, first) or 0)
    else
        take(first, common, its, less)
        its[1] = is_move and its[1] or (#its - 1) / 2
        if chosen > 0 then
            take(chosen_at, work[chosen_at - 1], its, less)
        end
        if #its > before then
            keep(lease, its)
        end
        put(1)
        put(chosen)
    end
    put(wait)
    report(first, choices + 1)
    put(#less / 2)
    for i = 1, #less, 2 do
        put(number_of(less[i], first))
        put(less[i + 1])
    end
end

-- A running request is not waiting: it asks for some more than it needs, so that it need not ask for
-- every event, and stops when even what it has used is too much.
local function grow(lease, many)
    local its = held[lease]
    for i = at, at + 6 * many - 1, 6 do
        local cell, is_own, limit = list[work[i]].cell, work[i + 1] == 1, work[i + 2]
        local used, wanted, holds = work[i + 3], work[i + 4], work[i + 5]
        local left = limit - cell.spent - cell.reserved
        if used - holds > left then
            put(-1)
        else
            local more = math.max(math.min(wanted - holds, left), 0)
            if more > 0 and its then
                cell.reserved = cell.reserved + more
                touch(cell)
                local place = is_own and #its + 1 or 2
                table.insert(its, place, cell.name)
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
            local cell = list[work[i]].cell
            cell.reserved = cell.reserved + work[i + 1]
            touch(cell)
            its[#its + 1] = cell.name
            its[#its + 1] = work[i + 1]
        end
        keep(lease, its)
    end
    at = at + 2 * many
end

local forgotten = {}
if now >= next_end then
    next_end, forgotten = sweep(me)
    cursor = cursor or '0'
end
next_end = math.min(next_end, now + ttl)

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
        end_worker(a, FOREVER)
    end
end

-- All that is written. What needs memory stands first: Redis refuses the first of it, or none.
local set, del = {}, {}
for lease in pairs(changed_leases) do
    if held[lease] then
        set[#set + 1] = serials[lease]
        set[#set + 1] = cmsgpack.pack(held[lease])
    else
        del[#del + 1] = serials[lease]
    end
end
add_record(me, string.format('%d 0 %d%s %d', now + ttl, settled, done, number))
add_record('', string.format('%d %s', next_end, cursor))
for first = 1, #records, 2 * MANY do
    redis.call('HSET', workers, unpack(records, first, math.min(first + 2 * MANY - 1, #records)))
end
for first = 1, #set, 2 * MANY do
    redis.call('HSET', my_leases, unpack(set, first, math.min(first + 2 * MANY - 1, #set)))
end
save_cells()
for first = 1, #del, MANY do
    redis.call('HDEL', my_leases, unpack(del, first, math.min(first + MANY - 1, #del)))
end
for _, worker in ipairs(ended) do
    redis.call('DEL', base .. ':leases:' .. worker)
end
for first = 1, #forgotten, MANY do
    redis.call('HDEL', workers, unpack(forgotten, first, math.min(first + MANY - 1, #forgotten)))
end
-- As much is looked at as may have become useless; a call without work is made now and then.
if created > 0 or last < 8 then
    redis.call('HSET', workers, '', string.format('%d %s', next_end,
        clean(cursor, created > 0 and 8 * created or 200)))
end
return cmsgpack.pack(answer)
