-- Raises budgets to what was spent of them before they were set. What a counter has stays, what it
-- lacks is added: of a window to its oldest days, because what was counted came after them.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  MessagePack, one flat array, for each counter: its name and its kind (s sum, c sum of a
--          calendar period, w window), its period (w) or the time until it begins anew (c, s; -1:
--          never) in ms, when its calendar period began (ms; else 0), number of days, then 2 for each
--          day, the oldest first: when it began (ms), what was spent on it

-- include part_counters.lua

local work = cmsgpack.unpack(ARGV[1])
local at, last = 1, #work
while at <= last do
    local name, kind, period, began, days = unpack(work, at, at + 4)
    local first = at + 5
    at = first + 2 * days
    if kind == 'c' then
        name = string.match(name, '^(.*)@%d+$')
    end
    local cell = cells[name]
        or read_cell(name, redis.call('HGET', counters, name), kind == 'w' and 'w' or 's')
    local missing = -cell[SPENT]
    if kind == 'c' then
        begin_anew(cell, began)
        missing = cell[BEGAN] == began and -cell[SPENT] or nil  -- else it is another period's
    end
    if missing then
        for i = first, at - 1, 2 do
            if kind ~= 'w' or work[i] + period > now then
                missing = missing + work[i + 1]
            end
        end
        if kind ~= 'w' and missing > 0 then
            count(cell, period, missing, now)
        end
        for i = first, kind == 'w' and at - 1 or 0, 2 do
            local amount = work[i + 1] < missing and work[i + 1] or missing
            if amount > 0 and work[i] + period > now then
                count(cell, period, amount, work[i] < now and work[i] or now)
                missing = missing - amount
            end
        end
    end
end
save_cells()
return 1
