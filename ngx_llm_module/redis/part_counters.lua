-- Part of the scripts: what is counted. `counters` is a hash: a counter's name, and numbers (little
-- endian doubles). The first is what running requests hold of it; of parallel requests that is all. A
-- sum has two more: what was counted, and when the sum can be forgotten (ms, 0: never); that of a
-- calendar period has a third: when the period began (ms). What is held stays when it begins anew. A
-- window has
-- four more: what counts, when that counts no more, the number of its newest step, and what was counted
-- in that; then 2 for each older step that still counts, the oldest first: when it leaves, what was
-- counted in it. A step leaves one period after its last addition.
--
-- In a call each counter is read once and written once. Redis' Lua is slow and has no compiler: what is
-- done for every counter has no calls that can be avoided.

local base = KEYS[1]
local counters = base .. ':counters'
local now
do
    local clock = redis.call('TIME')
    now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
end

local MANY = 1000  -- in one command
local DAY = 24 * 3600 * 1000  -- a sum can be looked at for so long after its period
local ONE, SUM, CALENDAR_SUM, WINDOW, OLDER_STEP = '<d', '<ddd', '<dddd', '<ddddd', '<dd'
local SUM_SIZE, CALENDAR_SIZE, WINDOW_SIZE, OLDER_SIZE = 24, 32, 40, 16

-- A counter in hand. KIND is that of the work: r and w for windows, s, p.
local HELD, SPENT, GONE, STEP, AMOUNT, OLDER, KIND, NAME, IS_CHANGED, IS_NEW = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local BEGAN = STEP  -- of a sum: when its calendar period began, 0: it has none

local cells, created = {}, 0

local function read_cell(name, value, kind)
    local cell
    if not value then
        cell = {0, 0, 0, 0, 0, '', kind, name, false, true}
    elseif #value >= WINDOW_SIZE then
        local held, spent, gone, step, amount = struct.unpack(WINDOW, value)
        local older = ''
        if now >= gone then
            spent, amount = 0, 0
        elseif #value > WINDOW_SIZE then
            -- What is older than a period counts no more.
            local at = WINDOW_SIZE + 1
            while at < #value do
                local leaves, in_step = struct.unpack(OLDER_STEP, value, at)
                if now < leaves then
                    break
                end
                spent = spent - in_step
                at = at + OLDER_SIZE
            end
            older = string.sub(value, at)
        end
        cell = {held, spent, gone, step, amount, older, kind or 'w', name, false}
    elseif #value >= SUM_SIZE then
        local held, spent, gone = struct.unpack(SUM, value)
        local began = #value == CALENDAR_SIZE and struct.unpack('<d', value, SUM_SIZE + 1) or 0
        cell = {held, spent, gone, began, 0, '', 's', name, false}
    else
        local held = struct.unpack(ONE, value)
        cell = {held, 0, 0, 0, 0, '', 'p', name, false}
    end
    cells[name] = cell
    return cell
end

-- A worker says when the period of a sum began. Redis' clock decides whether that has come yet, so a
-- machine whose clock is wrong does not begin anew what others count.
local function begin_anew(cell, began)
    if began > cell[BEGAN] and began <= now then
        cell[SPENT], cell[GONE], cell[BEGAN] = 0, 0, began
    end
end

-- In how many ms so much of it will have left; -1: there is not so much.
local function frees(cell, amount)
    if amount <= 0 then
        return 0
    end
    for at = 1, #cell[OLDER], OLDER_SIZE do
        local leaves, in_step = struct.unpack(OLDER_STEP, cell[OLDER], at)
        amount = amount - in_step
        if amount <= 0 then
            return leaves - now
        end
    end
    return amount <= cell[AMOUNT] and cell[GONE] - now or -1
end

-- To a step that is not the newest.
local function count_late(cell, period, length, step, leaves, amount)
    local older, at = cell[OLDER], 1
    while at < #older do
        local old_leaves, in_step = struct.unpack(OLDER_STEP, older, at)
        local old_step = math.floor((old_leaves - period) / length)
        if old_step == step then
            cell[OLDER] = string.sub(older, 1, at - 1)
                .. struct.pack(OLDER_STEP, math.max(old_leaves, leaves), in_step + amount)
                .. string.sub(older, at + OLDER_SIZE)
            return
        elseif old_step > step then
            break
        end
        at = at + OLDER_SIZE
    end
    cell[OLDER] = string.sub(older, 1, at - 1) .. struct.pack(OLDER_STEP, leaves, amount)
        .. string.sub(older, at)
end

-- `when` is now, or a while ago: what was used while Redis was away.
local function count(cell, period, amount, when)
    if cell[KIND] == 's' then
        if when < cell[BEGAN] then
            return  -- it ended in a period that is over
        end
        cell[SPENT] = cell[SPENT] + amount
        cell[GONE] = period >= 0 and math.max(cell[GONE], now + period + DAY) or 0
        cell[IS_CHANGED] = true
        return
    end
    local leaves, gone = when + period, cell[GONE]
    if leaves <= now then
        return
    end
    local length = math.ceil(period / 12)
    local step = (when - when % length) / length
    if step == cell[STEP] then
        cell[AMOUNT] = cell[AMOUNT] + amount
    elseif step > cell[STEP] then
        if cell[AMOUNT] > 0 then
            cell[OLDER] = cell[OLDER] .. struct.pack(OLDER_STEP, gone, cell[AMOUNT])
        end
        cell[STEP], cell[AMOUNT] = step, amount
    else
        count_late(cell, period, length, step, leaves, amount)
    end
    cell[SPENT] = cell[SPENT] + amount
    if leaves > gone then
        cell[GONE] = leaves
    end
    cell[IS_CHANGED] = true
end

local function save_cells()
    local set, size = {}, 0
    for name, cell in pairs(cells) do
        if cell[IS_CHANGED] then
            local kind, held = cell[KIND], cell[HELD]
            created = cell[IS_NEW] and created + 1 or created
            set[size + 1] = name
            if kind == 'p' then
                set[size + 2] = struct.pack(ONE, held)
            elseif kind == 's' then
                if held <= 0 and cell[SPENT] <= 0 and cell[GONE] == 0 then
                    cell[GONE] = now  -- nothing that had to be kept
                end
                set[size + 2] = cell[BEGAN] > 0
                    and struct.pack(CALENDAR_SUM, held, cell[SPENT], cell[GONE], cell[BEGAN])
                    or struct.pack(SUM, held, cell[SPENT], cell[GONE])
            elseif cell[OLDER] == '' then
                set[size + 2] = struct.pack(WINDOW, held, cell[SPENT], cell[GONE], cell[STEP],
                    cell[AMOUNT])
            else
                set[size + 2] = struct.pack(WINDOW, held, cell[SPENT], cell[GONE], cell[STEP],
                    cell[AMOUNT]) .. cell[OLDER]
            end
            size = size + 2
        end
    end
    for first = 1, size, 2 * MANY do
        redis.call('HSET', counters, unpack(set, first, math.min(first + 2 * MANY - 1, size)))
    end
end

-- Looks at some counters, from where the last look ended, and takes away those that count nothing.
local function clean(many)
    local place = base .. ':cleaned'
    local found = redis.call('HSCAN', counters, redis.call('GET', place) or '0', 'COUNT', many)
    local del = {}
    for i = 1, #found[2], 2 do
        local value = found[2][i + 1]
        local held, gone = 0, now
        if #value >= SUM_SIZE then
            local _
            held, _, gone = struct.unpack(SUM, value)
        else
            held = struct.unpack(ONE, value)
        end
        if held <= 0 and gone > 0 and now >= gone then
            del[#del + 1] = found[2][i]
        end
    end
    for first = 1, #del, MANY do
        redis.call('HDEL', counters, unpack(del, first, math.min(first + MANY - 1, #del)))
    end
    redis.call('SET', place, found[1])
end
