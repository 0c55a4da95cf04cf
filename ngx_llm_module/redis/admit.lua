-- Admits a request: all its limits in one step, or nothing is taken anywhere.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  id of the lease      2  how long it lives without being renewed, in ms
--       3  1: only the deployment changes; what is held of the present one is given back first
--       4  number of demands that always hold    5  of all demands    6  of alternatives
--       then 9 for each demand: name of the counter, kind (w window, s sum, p parallel requests),
--       1: counted at once, 0: held by the lease, length of a step, of the period (both in ms),
--       limit, amount, life of the counter (s, in ms, 0: for ever), time until it begins anew (s)
--       then 2 for each alternative: its first demand (from 1), their number
-- Gives 1 (granted) or 0, the alternative that was taken (from 1) or the demand that refuses (from
--       1, 0: none), the time in ms until it may fit (0: when another request ends, -1: never), then
--       for each demand what is used, the time until nothing of it counts, what is held.

-- include part_leases.lua
-- include part_counters.lua

local id, ttl, is_move = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local common, all, choices = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local WIDTH = 9

local used, reset, holds = {}, {}, {}
for i = 1, all do
    used[i], reset[i], holds[i] = 0, 0, 0
end

local function answer(granted, which, wait)
    local result = {granted, which, wait}
    for i = 1, all do
        result[#result + 1] = used[i]
        result[#result + 1] = reset[i]
        result[#result + 1] = holds[i]
    end
    return result
end

-- Whether it fits, and else for how long it does not.
local function check(i)
    local at = 6 + (i - 1) * WIDTH
    local name, kind, limit, amount = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 6]),
        tonumber(ARGV[at + 7])
    local spent, living, promised = 0, nil, 0
    if kind == 'w' then
        spent, living = read_window(name, tonumber(ARGV[at + 5]))
        reset[i] = window_frees(living, spent)
    elseif kind == 's' then
        spent = tonumber(redis.call('GET', base .. ':' .. name) or 0)
        reset[i] = tonumber(ARGV[at + 9])
    end
    if ARGV[at + 3] == '0' then
        promised = tonumber(redis.call('HGET', reserved, name) or 0)
    end
    used[i] = spent + promised
    local left = limit - spent
    if left > 0 and (promised == 0 or promised + amount <= left) then
        holds[i] = math.min(amount, left - promised)
        return true, 0
    elseif limit <= 0 then
        return false, -1
    elseif kind == 'p' then
        return false, 0
    elseif kind == 'w' then
        local wanted = promised == 0 and 1 or promised + amount
        return false, math.max(window_frees(living, spent + wanted - limit), 0)
    end
    return false, spent < limit and 0 or reset[i]
end

local function lasts_longer(a, b)
    return b >= 0 and (a < 0 or a > b)
end

-- Of several that refuse, the one that lasts longest.
local function check_all(first, last)
    local refused, wait = 0, 0
    for i = first, last do
        local fits, for_ms = check(i)
        if not fits and (refused == 0 or lasts_longer(for_ms, wait)) then
            refused, wait = i, for_ms
        end
    end
    return refused, wait
end

local function take(first, last)
    local text = {}
    for i = first, last do
        local at = 6 + (i - 1) * WIDTH
        used[i] = used[i] + holds[i]
        if ARGV[at + 3] == '1' then
            count(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]),
                tonumber(ARGV[at + 8]), holds[i], now)
        elseif holds[i] > 0 then
            redis.call('HINCRBY', reserved, ARGV[at + 1], string.format('%d', holds[i]))
            text[#text + 1] = string.format('%s %d', ARGV[at + 1], holds[i])
        end
    end
    return table.concat(text, ' ')
end

sweep()
local common_text = ''
if is_move then
    local before = redis.call('HGET', held, id) or ''
    local own
    common_text, own = string.match(before, '^([^\n]*)\n(.*)$')
    common_text = common_text or before
    if own and own ~= '' then
        take_back(own)
        redis.call('HSET', held, id, common_text .. '\n')
    end
else
    local refused, wait = check_all(1, common)
    if refused > 0 then
        return answer(0, refused, wait)
    end
end

local chosen, refused, wait = 0, 0, 0
for i = 1, choices do
    local at = 6 + all * WIDTH + (i - 1) * 2
    local first = tonumber(ARGV[at + 1])
    local by, for_ms = check_all(first, first + tonumber(ARGV[at + 2]) - 1)
    if by == 0 then
        chosen = i
        break
    elseif refused == 0 or lasts_longer(wait, for_ms) then
        refused, wait = by, for_ms
    end
end
if chosen == 0 and (choices > 0 or is_move) then
    return answer(0, refused, wait)
end

local own_text = ''
if not is_move then
    common_text = take(1, common)
end
if chosen > 0 then
    local at = 6 + all * WIDTH + (chosen - 1) * 2
    local first = tonumber(ARGV[at + 1])
    own_text = take(first, first + tonumber(ARGV[at + 2]) - 1)
end
if common_text ~= '' or own_text ~= '' then
    keep(id, common_text .. '\n' .. own_text, ttl)
end
return answer(1, chosen, 0)
